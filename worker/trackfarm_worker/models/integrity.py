"""Is this checkpoint what it was when it was pulled? Asked at each start, before it is loaded."""

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
    """`components` are hex SHA-256. `remark` says what was hashed and what it was held against."""

    components: dict[str, str]
    remark: str


def inspect(folder: Path, *, cache: DigestCache | None = None) -> Integrity:
    """Raises ModelNotReady unless the folder is whole and as its `digests.txt` says, if it has
    one. Files of unchanged size and time are taken from the cache."""
    check(folder)
    memory = cache or DigestCache(folder)
    found = file_digests(folder, memory.digest_of)
    memory.save()
    written = written_digests(folder)
    if written is not None and (wrong := differences(written, found)):
        raise ModelNotReady(damage(folder, wrong))
    held = "equal to digests.txt" if written is not None else "no digests.txt to hold them against"
    remark = (
        f"digests of {folder}: {held}; {memory.hashed} files hashed, {memory.remembered} known"
        " by size and time of change"
    )
    return Integrity(by_component(found), remark)


def damage(folder: Path, wrong: list[str]) -> str:
    """What to tell whoever wanted to use a folder with these differences."""
    more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
    return (
        f"{folder} is not what its digests.txt says: {'; '.join(wrong[:NAMED])}{more}. "
        "Remove the folder and pull the model again (`trackfarm models pull`), or point the "
        "worker at another folder."
    )
