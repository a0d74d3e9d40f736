"""Entry point of the scheduler process: read the settings, build every part, serve until
stopped."""

import sys

import structlog

from trackfarm import logs
from trackfarm.net.tls import check_server_certificate, tls_verify
from trackfarm.settings import BAD_SETTINGS, ClientSettingsError
from trackfarm.settings_errors import SETTINGS_ERRORS, settings_problems
from trackfarm_scheduler.app import assemble
from trackfarm_scheduler.objects import ObjectStoreError
from trackfarm_scheduler.server import serve
from trackfarm_scheduler.settings import SchedulerSettings
from trackfarm_scheduler.settings_check import faults

log = structlog.get_logger("trackfarm_scheduler")


def main() -> int:
    try:
        settings = SchedulerSettings()
    except SETTINGS_ERRORS as error:
        return _unusable(settings_problems(error, "TRACKFARM_SCHEDULER_"))
    if problems := faults(settings):
        return _unusable(problems)
    logs.configure(settings.log_format, settings.log_level)
    try:
        _check_files(settings)
        services, loops = assemble(settings)
    except (ObjectStoreError, ClientSettingsError, ValueError) as error:
        log.error("scheduler_cannot_start", error=str(error))
        return BAD_SETTINGS
    serve(services, loops)
    return 0


def _unusable(problems: list[str]) -> int:
    print("The scheduler's settings are not usable:", *problems, sep="\n  ", file=sys.stderr)
    return BAD_SETTINGS


def _check_files(settings: SchedulerSettings) -> None:
    tls_verify(settings.ca_file, setting="TRACKFARM_SCHEDULER_CA_FILE")
    if settings.tls_certificate and settings.tls_key:
        names = "TRACKFARM_SCHEDULER_TLS_CERTIFICATE and _TLS_KEY"
        check_server_certificate(settings.tls_certificate, settings.tls_key, settings=names)


if __name__ == "__main__":
    sys.exit(main())
