"""Look for known weaknesses of the packages in the images' locks; exit 1 if there are any.

If the advisory database cannot be reached, it says so and exits 0: a build must not depend on the
server of another organisation.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCKS = ("docker/scheduler.lock", "docker/worker.lock", "docker/build.lock")
NOT_AUDITED = "Nothing was audited: the advisory database cannot be reached from here."


def audited(lock: str) -> list[dict[str, Any]] | None:
    """Return the findings of pip-audit for each dependency; None if the database is unreachable."""
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
        dependencies = audited(lock)
        if dependencies is None:
            print(NOT_AUDITED)
            return 0
        for dependency in dependencies:
            for vulnerability in dependency.get("vulns", ()):
                fixed = ", ".join(vulnerability["fix_versions"]) or "no version"
                name = f"{dependency['name']} {dependency['version']}"
                print(f"{lock}: {name} has {vulnerability['id']}, mended in {fixed}")
                weak += 1
    return 1 if weak else 0


if __name__ == "__main__":
    sys.exit(main())
