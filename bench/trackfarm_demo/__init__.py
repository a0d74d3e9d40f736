"""The making of the model set `demo`: a two-million-parameter ACE-Step that plays on a CPU.

The parts, in the order in which sound comes to be: `briefs` and `vocabulary` (words to tokens),
`clock` and `clock_circuit` (tempo and time inside the transformer), `genres` and `composition` (the
pieces that it learns from), `training`, `vae_decoder` (latents to audio, built by hand) and
`vae_encoder` (audio to latents). `latent_judge` and `hearing` say how well it plays.
"""
