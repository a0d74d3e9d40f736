"""Secrets that a worker is given in its environment, and that its children must not inherit."""

from collections.abc import Mapping, MutableMapping

SECRETS = ("TRACKFARM_WORKER_JOIN_TOKEN", "RUNPOD_API_KEY", "CONTAINER_API_KEY")


def taken(environ: MutableMapping[str, str]) -> Mapping[str, str]:
    """The environment as it was given. Afterwards it is without its secrets: engines load
    strangers' weights, and decoders strangers' files."""
    given = dict(environ)
    for name in SECRETS:
        environ.pop(name, None)
    return given
