"""Model cache of this machine, and the atomic installation of a new model."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from platformdirs import user_cache_path

from trackfarm.model_sets import ModelSet
from trackfarm_worker.models.checkpoint import ModelNotReady, check
from trackfarm_worker.models.digests import (
    component_digests,
    differences,
    file_digests,
    read_digests,
    write_digests,
)

ORIGIN = "origin.json"
GB = 1e9
INSTALL_ATTEMPTS = 5  # other processes may replace the same damaged folder at once


def models_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return `TRACKFARM_MODELS`, else `trackfarm/models` in the user's cache folder."""
    path = environ.get("TRACKFARM_MODELS")
    return Path(path).expanduser() if path else user_cache_path("trackfarm") / "models"


def model_folder(model_set: ModelSet, models: Path | None = None) -> Path:
    """Return the folder of this revision of a model set, whether it exists or not."""
    return (models or models_folder()) / f"{model_set.name}-{model_set.revision[:12]}"


def is_present(folder: Path) -> bool:
    """Return whether the folder looks complete. Reads sizes, not contents."""
    try:
        check(folder)
    except ModelNotReady:
        return False
    return True


def is_intact(folder: Path) -> bool:
    """Return whether every file matches `digests.txt`. Reads everything."""
    recorded = read_digests(folder)
    return (
        is_present(folder)
        and bool(recorded)
        and not differences(recorded or {}, file_digests(folder))
    )


def require_disk_space(parent: Path, gigabytes: float) -> None:
    """Raise ModelNotReady when the disk that holds `parent` has less than `gigabytes` free."""
    parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(parent).free / GB
    if free < gigabytes:
        raise ModelNotReady(
            f"{parent} has {free:.1f} GB of free disk space, {gigabytes:.1f} GB are needed. "
            "Free some, or name another disk with --to (TRACKFARM_MODELS for all models)."
        )


@contextmanager
def atomic_install(target: Path, origin: Mapping[str, str]) -> Iterator[Path]:
    """Yield an empty folder next to `target`. At the end its contents are checked, get digests and
    a record of their origin, and replace the target in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield folder
        check(folder)
        write_digests(folder)
        (folder / ORIGIN).write_text(json.dumps(origin, indent=2) + "\n")
        folder.chmod(0o755)
        install_folder(target, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def install_folder(target: Path, built: Path) -> None:
    """Move `built` to `target`, replacing a damaged one, unless another process has installed the
    same already."""
    for _ in range(INSTALL_ATTEMPTS):
        with suppress(OSError):
            os.rename(built, target)
            return
        if is_intact(target) and component_digests(target) == component_digests(built):
            shutil.rmtree(built)
            return
        shutil.rmtree(target, ignore_errors=True)
    os.rename(built, target)
