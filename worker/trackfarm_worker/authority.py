"""The farm's own certificate authority, when it came with the rental: written to a file that TLS
libraries can read."""

from collections.abc import Mapping

from trackfarm.carried_authority import unpacked
from trackfarm_worker.settings import WorkerSettings


def with_authority(settings: WorkerSettings, environ: Mapping[str, str]) -> WorkerSettings:
    """Return the settings with the certificate authority from the environment as `ca_file`, unless
    a file is already set. Raises SettingsError when the certificate is damaged, OSError when
    `data_dir` cannot be written."""
    pem = "" if settings.ca_file else unpacked(environ)
    if not pem:
        return settings
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    path = settings.data_dir / "ca.crt"
    path.write_text(pem)
    return settings.model_copy(update={"ca_file": path})
