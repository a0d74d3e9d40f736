"""Meaning of the demo model's latents.

A frame (25 a second) has 16 channels. Each holds 0 or a trigger: the decoder plays a sound when it
sees one. Triggers are used, and not held tones, because a convolutional decoder does not know the
time: from constant latents it could only make a sound that is constant too.
"""

from trackfarm_worker.models.demo import CHANNELS, PATCH

FRAMES_PER_SECOND = 25
SAMPLE_RATE = 48_000
SAMPLES_PER_FRAME = SAMPLE_RATE // FRAMES_PER_SECOND

PITCH_CLASSES = 12  # channels 0 to 11: +TRIGGER plucks in the middle octave, -TRIGGER in the bass
KICK, SNARE, HAT, SHAKER = 12, 13, 14, 15
TRIGGER = 4.0
PATCH_CENTRE = (PATCH - 1) / 2  # in frames; the transformer sees four frames as one position
PATCH_NUMBERS = PATCH * CHANNELS

__all__ = ["CHANNELS", "PATCH"]
