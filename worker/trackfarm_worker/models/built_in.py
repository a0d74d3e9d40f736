"""Model sets that come with trackfarm: built on each machine, and kept like pulled ones."""

import tempfile
from pathlib import Path

from trackfarm.model_sets import ModelSet
from trackfarm_worker.models import demo, tiny
from trackfarm_worker.models.cache import install_folder, is_intact, model_folder, models_folder
from trackfarm_worker.models.digests import write_digests

BUILDERS = {"tiny": tiny.build, "demo": demo.build}


def ensure(model_set: ModelSet, models: Path | None = None) -> Path:
    """Return the folder of the model set's checkpoint, built if it is missing or damaged.

    `models` defaults to this machine's model cache. Safe to call from several processes at once.
    """
    parent = models or models_folder()
    target = model_folder(model_set, parent)
    if not is_intact(target):
        parent.mkdir(parents=True, exist_ok=True)
        install_folder(target, _build_in(parent, model_set.name))
    return target


def _build_in(parent: Path, name: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=parent))
    BUILDERS[name]().save_pretrained(folder, safe_serialization=True)
    write_digests(folder)
    folder.chmod(0o755)
    return folder
