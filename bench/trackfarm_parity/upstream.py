"""The side of ACE-Step's own code: `python -m trackfarm_parity.upstream FOLDER MODEL...`, in its
environment.

For each model it makes a folder with weights in the official layout, and the latents of each case.
Three things of ACE-Step are changed, because they depend on chance or on the batch: the latents of
audio are the posterior's mean instead of a sample, stochastic steps take the noise that follows the
seed's, and the text2music text of a cover is not padded to the length of the cover's text.
"""

import importlib
import importlib.util
import json
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from diffusers.models.autoencoders import autoencoder_oobleck
from safetensors.torch import save_file

from trackfarm_parity.cases import cases_of
from trackfarm_parity.small_models import CONFIGS, SILENCE, weight

# Type checkers see only placeholders in these libraries.
transformers: Any = hf
oobleck: Any = autoencoder_oobleck

transformers.logging.set_verbosity_error()
MODULES = {
    "acestep-v15-turbo": "turbo.modeling_acestep_v15_turbo",
    "acestep-v15-base": "base.modeling_acestep_v15_base",
    "acestep-v15-xl-turbo": "xl_turbo.modeling_acestep_v15_xl_turbo",
    "acestep-v15-xl-base": "xl_base.modeling_acestep_v15_xl_base",
}
# Names of a brief that `generate_music` calls otherwise.
RENAMED = {
    "prompt": "captions",
    "duration": "audio_duration",
    "reference_audio": "reference_audio",
}


def build(name: str, folder: Path) -> Any:
    """Build a model of ACE-Step's own class, write its folder, and return it."""
    module = importlib.import_module(f"acestep.models.{MODULES[name]}")
    config = module.AceStepConfig(**CONFIGS[name])
    config._attn_implementation = "sdpa"
    model = module.AceStepConditionGenerationModel(config).eval()
    tensors = {}
    for key, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not key.endswith("inv_freq"):
            tensor.copy_(torch.from_numpy(weight(key, tuple(tensor.shape))))
            tensors[key] = tensor.clone().contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(
        json.dumps(CONFIGS[name] | {"layer_types": config.layer_types})
    )
    save_file(tensors, folder / "model.safetensors")
    torch.save(torch.from_numpy(weight(*SILENCE)), folder / "silence_latent.pt")
    return model


def handler_of(model: Any, work: Path) -> Any:
    """Return ACE-Step's handler around a model, with the small VAE and text encoder of `work`."""
    handler = importlib.import_module("acestep.handler").AceStepHandler()
    handler.model, handler.config = model, model.config
    handler.vae = oobleck.AutoencoderOobleck.from_pretrained(work / "vae").eval()
    text = work / "Qwen3-Embedding-0.6B"
    handler.text_encoder = transformers.AutoModel.from_pretrained(text).eval()
    handler.text_tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(text)
    handler.silence_latent = torch.from_numpy(weight(*SILENCE)).transpose(1, 2)
    handler.process_src_audio = handler.process_reference_audio = lambda path: torch.from_numpy(
        np.load(work / path, allow_pickle=False)
    ).T.contiguous()
    handler._prepare_text_conditioning_inputs = _without_padding(
        handler._prepare_text_conditioning_inputs
    )
    return handler


def _without_padding(prepare: Any) -> Any:
    def prepared(*arguments: Any, **options: Any) -> Any:
        *rest, ids, mask = prepare(*arguments, **options)
        if ids is not None:
            ids, mask = ids[:, : int(mask.sum())], mask[:, : int(mask.sum())]
        return (*rest, ids, mask)

    return prepared


def _renoise(seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    drawn: list[torch.Tensor] = []

    def renoise(latents: torch.Tensor, level: float, noise: torch.Tensor | None = None) -> Any:
        if noise is None:
            if not drawn:  # the noise to begin with
                drawn.append(torch.randn(latents.shape, generator=generator))
            noise = torch.randn(latents.shape, generator=generator)
        return level * noise + (1 - level) * latents

    return renoise


def generate(handler: Any, brief: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the latents (frames, width) and the audio (samples, 2) of a brief."""
    fields = dict(brief)
    handler.model.renoise = _renoise(fields["seed"])
    track_name, classes = fields.pop("track_name", None), fields.pop("track_classes", None)
    fields["instruction"] = handler.generate_instruction(
        fields.get("task_type", "text2music"), track_name, classes
    )
    fields["lyrics"] = fields["lyrics"] or "[Instrumental]"
    fields["time_signature"] = str(fields["time_signature"])
    fields.setdefault("shift", 3.0)
    fields.setdefault("dcw_enabled", handler.config.is_turbo)
    result = handler.generate_music(
        **{RENAMED.get(name, name): value for name, value in fields.items()},
        batch_size=1,
        use_random_seed=False,
    )
    if not result["success"]:
        raise RuntimeError(result["error"])
    return {
        "latents": result["extra_outputs"]["pred_latents"][0].float().numpy(),
        "audio": result["audios"][0]["tensor"].T.numpy(),
    }


def main() -> None:
    work, names = Path(sys.argv[1]), sys.argv[2:]
    oobleck.OobleckDiagonalGaussianDistribution.sample = lambda self, generator=None: self.mode()
    if importlib.util.find_spec("torchaudio") is None:
        # It only resamples, which the cases do not need; some builds of torch have no torchaudio.
        sys.modules["torchaudio"] = types.ModuleType("torchaudio")
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    for name in names:
        handler = handler_of(build(name, work / name), work)
        outputs: dict[str, np.ndarray] = {}
        for case in cases_of(name):
            made = generate(handler, case.brief(name))
            outputs |= {f"{case.name}/{kind}": value for kind, value in made.items()}
        np.savez(work / f"{name}.npz", allow_pickle=False, **outputs)


if __name__ == "__main__":
    main()
