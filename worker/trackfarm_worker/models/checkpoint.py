"""Checks of a checkpoint folder before it is loaded, so that no GPU waits for the result: is it
complete, and does it match its digests?

Layout: that of `AceStepPipeline.save_pretrained` in diffusers 0.42. An early conversion script left
out the audio tokenizer and the scheduler; such a folder loads, but fails on covers.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trackfarm_worker.models.digests import (
    DigestCache,
    by_component,
    differences,
    file_digests,
    read_digests,
)

MODELS = (
    "vae",
    "text_encoder",
    "transformer",
    "condition_encoder",
    "audio_tokenizer",
    "audio_token_detokenizer",
)
CONFIGS = {"tokenizer": "tokenizer_config.json", "scheduler": "scheduler_config.json"}
COMPONENTS = (*MODELS, *CONFIGS)
MAX_NAMED = 5  # files in an error message


class ModelNotReady(RuntimeError):
    """The weights are missing or incomplete. The message says how to fix it."""


@dataclass(frozen=True, slots=True)
class Integrity:
    """Result of the check. `components` are hex SHA-256. `remark` says how many files were hashed
    and whether there were digests to compare with."""

    components: dict[str, str]
    remark: str


def check(folder: Path) -> None:
    """Raise ModelNotReady unless all eight components are present and complete."""
    problems = list(_problems(folder))
    if problems:
        raise ModelNotReady(
            f"{folder} is not a complete ACE-Step checkpoint: {'; '.join(problems)}. "
            "Download or convert it again, or point the worker at another folder."
        )


def check_integrity(folder: Path, *, cache: DigestCache | None = None) -> Integrity:
    """Raise ModelNotReady unless the folder is complete and matches its `digests.txt`, if it has
    one. Digests of files with unchanged size and modification time are taken from the cache."""
    check(folder)
    digest_cache = cache or DigestCache(folder)
    digests = file_digests(folder, digest_cache.digest_of)
    digest_cache.save()
    recorded = read_digests(folder)
    if recorded is not None and (problems := differences(recorded, digests)):
        raise ModelNotReady(damage_message(folder, problems))
    comparison = "match digests.txt" if recorded is not None else "no digests.txt to compare with"
    remark = (
        f"digests of {folder}: {comparison}; {digest_cache.hashed} files hashed, "
        f"{digest_cache.cached} cached (unchanged size and modification time)"
    )
    return Integrity(by_component(digests), remark)


def weight_files(component: Path) -> list[str]:
    """Return the names of the required safetensors: the ones in the shard index, else the ones
    present."""
    for index in component.glob("*.safetensors.index.json"):
        return sorted(set((_json(index) or {}).get("weight_map", {}).values()))
    return sorted(path.name for path in component.glob("*.safetensors"))


def damage_message(folder: Path, problems: list[str]) -> str:
    """Return the error message for a folder with these differences."""
    others = f" and {len(problems) - MAX_NAMED} more" if len(problems) > MAX_NAMED else ""
    return (
        f"{folder} does not match its digests.txt: {'; '.join(problems[:MAX_NAMED])}{others}. "
        "Remove the folder and pull the model again (`trackfarm models pull`), or point the "
        "worker at another folder."
    )


def _problems(folder: Path) -> Iterator[str]:
    index = _json(folder / "model_index.json")
    if index is None:
        yield "model_index.json is missing or unreadable"
        return
    if index.get("_class_name") != "AceStepPipeline":
        yield f"model_index.json names {index.get('_class_name')!r}, not AceStepPipeline"
    for name in COMPONENTS:
        # A component that was not saved is listed as [null, null].
        if not (index.get(name) or [None])[0]:
            yield f"component {name} is not in model_index.json"
        elif name in CONFIGS:
            yield from _config_problems(folder / name, CONFIGS[name])
        else:
            yield from _config_problems(folder / name, "config.json")
            yield from _weight_problems(folder / name)


def _config_problems(component: Path, config: str) -> Iterator[str]:
    if _json(component / config) is None:
        yield f"{component.name}/{config} is missing or unreadable"
    if any(component.glob("*.incomplete")):
        yield f"{component.name} holds an interrupted download"


def _weight_problems(component: Path) -> Iterator[str]:
    names = weight_files(component)
    if not names:
        yield f"{component.name} has no safetensors weights"
    for name in names:
        if problem := _safetensors_problem(component / name):
            yield f"{component.name}/{name} {problem}"


def _safetensors_problem(path: Path) -> str | None:
    """Compare the file size with the size in the header (format: 8-byte length, JSON, data)."""
    if not path.is_file():
        return "is missing"
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 0 < length < path.stat().st_size:
            return "is truncated"
        try:
            header = json.loads(stream.read(length))
        except ValueError:
            return "has no readable header"
    end = max((row["data_offsets"][1] for key, row in header.items() if key != "__metadata__"))
    expected = 8 + length + end
    actual = path.stat().st_size
    return None if actual == expected else f"has {actual} of {expected} bytes"


def _json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
