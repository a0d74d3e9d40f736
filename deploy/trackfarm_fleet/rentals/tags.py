"""Tags that mark our own machines among all machines of an account."""

import re
from dataclasses import dataclass

from trackfarm.identity import new_id

_FARM = re.compile(r"[a-z0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of one farm, such as `tf-hotel-7f3k9x0c2m4n6p8q`, at most 40 characters.

    `farm` has only lower-case letters and digits: if a dash were allowed, the tags of farm `a-b`
    would begin with the prefix of farm `a`, which would then end the other's machines. Raises
    ValueError for other names.
    """

    farm: str

    def __post_init__(self) -> None:
        if not _FARM.fullmatch(self.farm):
            raise ValueError(
                f"a farm's name must have 1 to 20 characters of a-z and 0-9, not {self.farm!r}"
            )

    @property
    def prefix(self) -> str:
        return f"tf-{self.farm}-"

    def new(self) -> str:
        """Return a new unique tag with 80 random bits."""
        return self.prefix + new_id("rental").removeprefix("rental_")

    def owns(self, tag: str) -> bool:
        """Return True if this farm made the tag; a name that merely has the same prefix is not ours
        to end."""
        return re.fullmatch(re.escape(self.prefix) + r"[0-9a-z]{16}", tag) is not None
