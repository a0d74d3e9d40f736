"""Asks for known weaknesses of what the images are locked to. Exits 1 when there are any.

Where no advisory database can be reached it says so in one sentence and fails nothing: a build
must not depend on somebody else's server.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCKS = ("docker/scheduler.lock", "docker/worker.lock", "docker/build.lock")
NOT_AUDITED = "Nothing was audited: the advisory database cannot be reached from here."


def asked(lock: str) -> list[dict[str, Any]] | None:
    """What pip-audit says of each dependency, None when it could not ask."""
    program = Path(sys.executable).with_name("pip-audit")
    options = ["--disable-pip", "--require-hashes", "--format", "json", "--requirement", lock]
    run = subprocess.run([program, *options], check=False, capture_output=True, text=True)
    try:
        found: list[dict[str, Any]] = json.loads(run.stdout)["dependencies"]
    except (ValueError, KeyError):
        # Networks refuse in many ways: no name, a proxy's page, an answer without the fields.
        print(run.stderr.strip().rpartition("\n")[2][:300], file=sys.stderr)
        return None
    return found if any("vulns" in dependency for dependency in found) else None


def main() -> int:
    weak = 0
    for lock in LOCKS:
        found = asked(lock)
        if found is None:
            print(NOT_AUDITED)
            return 0
        for dependency in found:
            for vulnerability in dependency.get("vulns", ()):
                fixed = ", ".join(vulnerability["fix_versions"]) or "no version"
                name = f"{dependency['name']} {dependency['version']}"
                print(f"{lock}: {name} has {vulnerability['id']}, mended in {fixed}")
                weak += 1
    return 1 if weak else 0


if __name__ == "__main__":
    sys.exit(main())
