"""Download of a model set to this machine: fetch from the Hugging Face hub, convert where needed,
check, install in one step. Data files only: nothing can run code. Needs no torch, unless it
converts."""

import errno
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trackfarm.model_sets import ModelSet
from trackfarm_worker.models.cache import (
    atomic_install,
    is_intact,
    model_folder,
    require_disk_space,
)
from trackfarm_worker.models.checkpoint import COMPONENTS, ModelNotReady
from trackfarm_worker.models.layout import (
    SILENCE,
    TEXT_ENCODER,
    VAE,
    DiffusersLayout,
    OfficialLayout,
    detect_layout,
)

SUFFIXES = ("json", "safetensors", "txt", "model")
DIFFUSERS_FILES = (
    "model_index.json",
    *(f"{component}/*.{suffix}" for component in COMPONENTS for suffix in SUFFIXES),
)
# Named in full: a wildcard would match the folders of other models as well. The silence is a
# pickle: it is read with `weights_only`.
DIT_FILES = ("config.json", "model*.safetensors", "model*.safetensors.index.json", SILENCE)
PART_FILES = tuple(f"{part}/*.{suffix}" for part in (VAE, TEXT_ENCODER) for suffix in SUFFIXES)

OnProgress = Callable[[str], None]
Copy = Callable[[str, str], object]
# Disk space relative to the download: during conversion there are two copies.
SPACE, SPACE_TO_CONVERT = 1.1, 2.1
# Hidden files, and files that could run code when loaded.
NO_CODE = shutil.ignore_patterns(".*", "*.py", "*.bin", "*.pt", "*.pkl", "*.ckpt")


@dataclass(frozen=True, slots=True)
class Pulled:
    """Result of a pull. `was_there`: the model was complete already."""

    folder: Path
    was_there: bool


def pull(
    model_set: ModelSet,
    *,
    to: Path | None = None,
    source: str = "",
    on_progress: OnProgress = lambda _: None,
) -> Pulled:
    """Install the whole model set in diffusers layout, with `digests.txt`, in the folder `to`
    (default: in this machine's model cache).

    `source` is a folder or hub repository in place of the model set's own. Safe to repeat; an
    interrupted download resumes. Raises ModelNotReady, with a remedy, and leaves no incomplete
    folder at `to`.
    """
    if model_set.is_built_in:
        # Imported late: only this and the conversion import torch.
        from trackfarm_worker.models import built_in

        return Pulled(built_in.ensure(model_set, to), was_there=False)
    target = (to or model_folder(model_set)).absolute()
    if is_intact(target):
        return Pulled(target, was_there=True)
    if source and Path(source).is_dir():
        require_disk_space(target.parent, model_set.download_gb)
        origin = {"source": str(Path(source).resolve())}
        _install(model_set, Path(source), target, origin, shutil.copyfile, on_progress)
    else:
        _pull_from_hub(model_set, source, target, on_progress)
    return Pulled(target, was_there=False)


def _pull_from_hub(model_set: ModelSet, source: str, target: Path, on_progress: OnProgress) -> None:
    require_disk_space(target.parent, _required_gb(model_set))
    download_folder = target.parent / f".{target.name}-download"
    origin = _fetch(model_set, source, download_folder, on_progress)
    # Linked, not copied: the download is removed right after.
    _install(model_set, download_folder, target, origin, os.link, on_progress)
    shutil.rmtree(download_folder)


def _required_gb(model_set: ModelSet) -> float:
    share = SPACE if model_set.is_diffusers_layout else SPACE_TO_CONVERT
    return share * model_set.download_gb


def _fetch(model_set: ModelSet, source: str, into: Path, on_progress: OnProgress) -> dict[str, str]:
    repository, size = source or model_set.repository, model_set.download_gb
    revision = "main" if source else model_set.revision
    on_progress(f"fetching {repository}@{revision} (about {size:g} GB)")
    if model_set.is_diffusers_layout and not source:
        files: tuple[str, ...] = DIFFUSERS_FILES
    else:
        # Official repositories keep one model at the root or several in folders.
        in_folder = tuple(f"{model_set.dit}/{name}" for name in DIT_FILES)
        files = (*DIFFUSERS_FILES, *DIT_FILES, *in_folder, *PART_FILES)
    origin = {"repository": repository, "revision": revision}
    origin["commit"] = _download(
        repository, revision, files, into, needs_gb=_required_gb(model_set)
    )
    if not (into / "model_index.json").is_file() and model_set.parts_repository:
        parts = model_set.parts_repository
        on_progress(f"fetching vae and text encoder from {parts}")
        commit = _download(
            parts, model_set.parts_revision, PART_FILES, into, needs_gb=_required_gb(model_set)
        )
        origin |= {"parts_repository": parts, "parts_commit": commit}
    return origin


def _install(
    model_set: ModelSet,
    source: Path,
    target: Path,
    origin: dict[str, str],
    copy: Copy,
    on_progress: OnProgress,
) -> None:
    layout = detect_layout(source, model_set.dit)
    try:
        with atomic_install(target, origin | {"model_set": model_set.identity}) as folder:
            _fill(folder, layout, model_set, copy, on_progress)
    except OSError as error:
        raise ModelNotReady(
            f"{target} could not be written ({error}). Free {model_set.download_gb:g} GB there, "
            "or name another disk with --to, and run this again."
        ) from error


def _fill(
    folder: Path,
    layout: DiffusersLayout | OfficialLayout,
    model_set: ModelSet,
    copy: Copy,
    on_progress: OnProgress,
) -> None:
    match layout:
        case DiffusersLayout(folder=source):
            on_progress("installing the files")
            shutil.copytree(source, folder, dirs_exist_ok=True, ignore=NO_CODE, copy_function=copy)
        case OfficialLayout():
            # Imported late, because it imports torch.
            from trackfarm_worker.models.conversion import convert

            convert(layout, folder, dtype=model_set.dtype, on_progress=on_progress)
    on_progress("computing digests")


def _download(
    repository: str, revision: str, files: Iterable[str], into: Path, *, needs_gb: float
) -> str:
    """Fetch the files that match `files` and return their commit.

    An interrupted download resumes when `into` is the same. Raises ModelNotReady, with a remedy,
    when it fails.
    """
    # Imported late, because it takes a second.
    from huggingface_hub import HfApi, errors, snapshot_download

    # Its HTTPError is that of the HTTP client that the library uses.
    transport: Any = errors

    endpoint = os.environ.get("HF_ENDPOINT") or None
    try:
        commit = HfApi(endpoint=endpoint).model_info(repository, revision=revision).sha
        snapshot_download(
            repository,
            revision=commit,
            local_dir=into,
            allow_patterns=list(files),
            endpoint=endpoint,
        )
    except (transport.HTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        raise ModelNotReady(_remedy(repository, revision, error, needs_gb)) from error
    assert commit, "the hub names the commit of a revision"
    return commit


def _remedy(repository: str, revision: str, error: Exception, needs_gb: float) -> str:
    problem = f"{repository}@{revision} could not be downloaded"
    detail = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        remedy = (
            f"The disk is full: free {needs_gb:.1f} GB and run this again; the download resumes."
        )
    elif status in {401, 403, 404}:
        remedy = "The hub denies access: check the name and revision, or set HF_TOKEN."
    else:
        remedy = (
            "Check the network and run this again; the download resumes. Or copy the folder from "
            "another machine and name it with --source, or point the worker at it."
        )
    return f"{problem} ({detail}). {remedy}"
