"""The start command of a machine with a stock image: it fetches what it runs from the farm. Pure.

A bundle (`deploy/provision/bundle`) is proved by the digest that comes with the command. The token
that opens it stays in the environment: it is in no list of arguments, and no redirect gets it.
"""

import shlex

from trackfarm.carried_authority import PREFIX
from trackfarm.wire import BUNDLE

# Without single quotes and on one line: providers split a command into words by rules of their own.
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
    """What a machine runs whose image has nothing of ours but bash, curl and Python. `sha256` (hex)
    is that of the bundle."""
    url = shlex.quote(scheduler_url + BUNDLE)
    script = " ".join(_SCRIPT.split("\n")).strip()
    for name, value in (("@PIECE@", PREFIX), ("@URL@", url), ("@DIGEST@", sha256)):
        script = script.replace(name, value)
    return "bash", "-c", script
