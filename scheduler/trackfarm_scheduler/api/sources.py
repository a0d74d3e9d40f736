"""Which sources a submission may name: a signed URL must not be had for anything but one's own."""

from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session

from trackfarm.catalog import Brief
from trackfarm.catalog.sources import OBJECT, is_local, is_url, source_fields
from trackfarm_scheduler.objects.keys import UnsafeKey, checked_key, uploads_of
from trackfarm_scheduler.objects.port import ObjectStore
from trackfarm_scheduler.objects.sources import source_key
from trackfarm_scheduler.store import artifacts

NOT_YOURS = "names no upload and no finished track of yours"


@dataclass(slots=True)
class SourceCheck:
    """Of one submission; what it has looked at once it does not look at again."""

    objects: ObjectStore
    owner: str
    _known: dict[str, str | None] = field(default_factory=dict)

    def errors(self, session: Session, row: int, brief: Brief) -> list[dict[str, Any]]:
        """What is wrong with the sources of a row."""
        return [
            {"row": row, "field": name, "message": flaw}
            for name, reference in source_fields(brief)
            if (flaw := self._flaw(session, reference))
        ]

    def _flaw(self, session: Session, reference: str) -> str | None:
        if is_url(reference):
            return None
        if reference not in self._known:
            self._known[reference] = self._looked_at(session, reference)
        return self._known[reference]

    def _looked_at(self, session: Session, reference: str) -> str | None:
        if is_local(reference):
            return "is a file, which the farm cannot read; `trackfarm submit` uploads it"
        try:
            key = checked_key(source_key(reference, self.owner))
        except UnsafeKey:
            return NOT_YOURS
        if reference.startswith(OBJECT) and not self._is_ours(session, key):
            return NOT_YOURS
        there = self.objects.stat(key) is not None
        return None if there else "is not here (any more); upload it first"

    def _is_ours(self, session: Session, key: str) -> bool:
        return key.startswith(uploads_of(self.owner)) or artifacts.is_made_for(
            session, key, self.owner
        )
