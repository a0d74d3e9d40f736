"""Integrity check of a checkpoint at each start, before it is loaded: does it match its digests?"""

from dataclasses import dataclass
from pathlib import Path

from trackfarm_worker.models.checkpoint import ModelNotReady, check
from trackfarm_worker.models.digest_cache import DigestCache
from trackfarm_worker.models.digests import (
    by_component,
    differences,
    file_digests,
    written_digests,
)

NAMED = 5


@dataclass(frozen=True, slots=True)
class Integrity:
    """Result of the check. `components` are hex SHA-256. `remark` says how many files were hashed
    and whether there were digests to compare with."""

    components: dict[str, str]
    remark: str


def inspect(folder: Path, *, cache: DigestCache | None = None) -> Integrity:
    """Raise ModelNotReady unless the folder is complete and matches its `digests.txt`, if it has
    one. Digests of files with unchanged size and modification time are taken from the cache."""
    check(folder)
    digest_cache = cache or DigestCache(folder)
    digests = file_digests(folder, digest_cache.digest_of)
    digest_cache.save()
    recorded = written_digests(folder)
    if recorded is not None and (problems := differences(recorded, digests)):
        raise ModelNotReady(damage(folder, problems))
    comparison = "match digests.txt" if recorded is not None else "no digests.txt to compare with"
    remark = (
        f"digests of {folder}: {comparison}; {digest_cache.hashed} files hashed, "
        f"{digest_cache.remembered} cached (unchanged size and modification time)"
    )
    return Integrity(by_component(digests), remark)


def damage(folder: Path, wrong: list[str]) -> str:
    """Return the error message for a folder with these differences."""
    others = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
    return (
        f"{folder} does not match its digests.txt: {'; '.join(wrong[:NAMED])}{others}. "
        "Remove the folder and pull the model again (`trackfarm models pull`), or point the "
        "worker at another folder."
    )
