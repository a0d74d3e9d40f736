"""Mapping from tensors of an official checkpoint to tensors of the pipeline's four own modules."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

from trackfarm_worker.models.checkpoint import ModelNotReady, weight_files
from trackfarm_worker.models.official_names import Place, place_of

# Not among the official weights: it has its own file.
SILENCE_PLACE = Place("condition_encoder", "silence_latent")
NAMED = 5


@dataclass(frozen=True, slots=True)
class Origin:
    """An official tensor: its file, key and shape."""

    file: Path
    key: str
    shape: tuple[int, ...]


def plan_of(dit: Path, modules: Mapping[str, nn.Module]) -> dict[str, dict[str, Origin]]:
    """Return the origin of each tensor except the silence, by component and key.

    Raises ModelNotReady unless each has exactly one origin of the right shape, and none is left
    over.
    """
    plan, problems = _assign_origins(modules, dit)
    for name, module in modules.items():
        problems += _mismatches(name, module, plan[name])
    if problems:
        others = f" and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
        raise ModelNotReady(
            f"{dit} does not hold the weights that its config.json describes: "
            f"{'; '.join(problems[:NAMED])}{others}. Download it again, or use a checkpoint in "
            "diffusers layout."
        )
    return plan


def _origins(dit: Path) -> Iterator[Origin]:
    for name in weight_files(dit):
        with safe_open(dit / name, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - it is no mapping
                yield Origin(dit / name, key, tuple(file.get_slice(key).get_shape()))


def _mismatches(name: str, module: nn.Module, origins: Mapping[str, Origin]) -> Iterator[str]:
    expected = {
        key: tuple(tensor.shape)
        for key, tensor in module.state_dict().items()
        if Place(name, key) != SILENCE_PLACE
    }
    for key in sorted(expected.keys() | origins.keys()):
        if key not in origins:
            yield f"{name}.{key} is missing"
        elif key not in expected:
            yield f"{origins[key].key} does not belong to {name}"
        elif origins[key].shape != expected[key]:
            yield f"{origins[key].key} has shape {origins[key].shape}, not {expected[key]}"


def _assign_origins(
    modules: Mapping[str, nn.Module], dit: Path
) -> tuple[dict[str, dict[str, Origin]], list[str]]:
    plan: dict[str, dict[str, Origin]] = {name: {} for name in modules}
    problems = []
    for origin in _origins(dit):
        try:
            place = place_of(origin.key)
        except KeyError:
            problems.append(f"unknown tensor {origin.key}")
            continue
        if place is not None and place.key in plan[place.component]:
            problems.append(f"{origin.key} occurs twice")
        elif place is not None:
            plan[place.component][place.key] = origin
    return plan, problems


def read(origin: Origin) -> torch.Tensor:
    """Return the tensor itself, on the CPU."""
    with safe_open(origin.file, framework="pt") as file:
        tensor: torch.Tensor = file.get_tensor(origin.key)
    return tensor
