"""Download of parts of a Hugging Face hub repository. Data files only: nothing can run code."""

import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trackfarm_worker.models.checkpoint import COMPONENTS, ModelNotReady
from trackfarm_worker.models.layout import SILENCE, TEXT_ENCODER, VAE

SUFFIXES = ("json", "safetensors", "txt", "model")
DIFFUSERS_FILES = (
    "model_index.json",
    *(f"{component}/*.{suffix}" for component in COMPONENTS for suffix in SUFFIXES),
)
# Named in full: a wildcard would match the folders of other models as well. The silence is a
# pickle: it is read with `weights_only`.
DIT_FILES = ("config.json", "model*.safetensors", "model*.safetensors.index.json", SILENCE)
PART_FILES = tuple(f"{part}/*.{suffix}" for part in (VAE, TEXT_ENCODER) for suffix in SUFFIXES)


def download(
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
