"""Start command for a machine with a stock image: it installs the worker from the scheduler. Pure.

The bundle (`deploy/provision/bundle`) is verified by the digest in the command. The token that
authorizes its download stays in the environment: it appears in no argument list, and curl sends it
to no redirect target.
"""

import shlex

from trackfarm.carried_authority import PREFIX
from trackfarm.wire import BUNDLE

# One line without single quotes, because every provider splits a command into words differently.
_SCRIPT = """
set -euo pipefail; umask 077;
d=${TRACKFARM_FOLDER:-/workspace/trackfarm}/bundle; mkdir -p "$d"; cd "$d";
ca=; n=1; while p=@PIECE@$n; [ -n "${!p:-}" ]; do ca=$ca${!p}; n=$((n+1)); done;
trust=(); if [ -n "$ca" ]; then
{ cat /etc/ssl/certs/ca-certificates.crt 2>/dev/null || true; echo "$ca" | base64 -d; } > ca.pem;
trust=(--cacert ca.pem); fi;
printf "header = \\"Authorization: Bearer %s\\"\\n" "$TRACKFARM_WORKER_JOIN_TOKEN" |
curl --config - -fsS --retry 5 --retry-connrefused "${trust[@]}" -o bundle.tar.gz @URL@;
echo "@DIGEST@  bundle.tar.gz" | sha256sum --check --quiet;
tar -xzf bundle.tar.gz; exec bash start
"""


def start_command(scheduler_url: str, sha256: str) -> tuple[str, ...]:
    """Return the command for an image that has only bash, curl and Python. `sha256` (hex) is the
    digest of the bundle."""
    url = shlex.quote(scheduler_url + BUNDLE)
    script = " ".join(_SCRIPT.split("\n")).strip()
    for name, value in (("@PIECE@", PREFIX), ("@URL@", url), ("@DIGEST@", sha256)):
        script = script.replace(name, value)
    return "bash", "-c", script
