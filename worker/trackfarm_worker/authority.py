"""The farm's own authority, where it came with the rental: put where TLS libraries look for one."""

from collections.abc import Mapping

from trackfarm.carried_authority import unpacked
from trackfarm_worker.settings import WorkerSettings


def with_authority(settings: WorkerSettings, environ: Mapping[str, str]) -> WorkerSettings:
    """With the authority of the environment as `ca_file`, unless a file is named already. Raises
    SettingsError when it is damaged, OSError when `data_dir` cannot be written."""
    pem = "" if settings.ca_file else unpacked(environ)
    if not pem:
        return settings
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    path = settings.data_dir / "ca.crt"
    path.write_text(pem)
    return settings.model_copy(update={"ca_file": path})
