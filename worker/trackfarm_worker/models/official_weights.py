"""Where each tensor of the pipeline's four own modules comes from in an official checkpoint."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

from trackfarm_worker.models.checkpoint import ModelNotReady, weight_files
from trackfarm_worker.models.official_names import Place, place_of

# Not among the official weights: it has a file of its own.
SILENCE_PLACE = Place("condition_encoder", "silence_latent")
NAMED = 5


@dataclass(frozen=True, slots=True)
class Origin:
    """An official tensor: its file, its key, its shape."""

    file: Path
    key: str
    shape: tuple[int, ...]


def plan_of(dit: Path, modules: Mapping[str, nn.Module]) -> dict[str, dict[str, Origin]]:
    """By component and key, the origin of each tensor but the silence.

    Raises ModelNotReady unless each has exactly one, of the right shape, and none is left over.
    """
    plan, wrong = _sorted_into(modules, dit)
    for name, module in modules.items():
        wrong += _mismatches(name, module, plan[name])
    if wrong:
        more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise ModelNotReady(
            f"{dit} does not hold the weights that its config.json describes: "
            f"{'; '.join(wrong[:NAMED])}{more}. Download it again, or use a checkpoint in "
            "diffusers layout."
        )
    return plan


def _origins(dit: Path) -> Iterator[Origin]:
    for name in weight_files(dit):
        with safe_open(dit / name, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - it is no mapping
                yield Origin(dit / name, key, tuple(file.get_slice(key).get_shape()))


def _mismatches(name: str, module: nn.Module, found: Mapping[str, Origin]) -> Iterator[str]:
    wanted = {
        key: tuple(tensor.shape)
        for key, tensor in module.state_dict().items()
        if Place(name, key) != SILENCE_PLACE
    }
    for key in sorted(wanted.keys() | found.keys()):
        if key not in found:
            yield f"nothing for {name}.{key}"
        elif key not in wanted:
            yield f"{found[key].key} has no place in {name}"
        elif found[key].shape != wanted[key]:
            yield f"{found[key].key} has shape {found[key].shape}, not {wanted[key]}"


def _sorted_into(
    modules: Mapping[str, nn.Module], dit: Path
) -> tuple[dict[str, dict[str, Origin]], list[str]]:
    plan: dict[str, dict[str, Origin]] = {name: {} for name in modules}
    wrong = []
    for origin in _origins(dit):
        try:
            place = place_of(origin.key)
        except KeyError:
            wrong.append(f"unknown tensor {origin.key}")
            continue
        if place is not None and place.key in plan[place.component]:
            wrong.append(f"{origin.key} is there twice")
        elif place is not None:
            plan[place.component][place.key] = origin
    return plan, wrong


def read(origin: Origin) -> torch.Tensor:
    """The tensor itself, on the CPU."""
    with safe_open(origin.file, framework="pt") as file:
        tensor: torch.Tensor = file.get_tensor(origin.key)
    return tensor
