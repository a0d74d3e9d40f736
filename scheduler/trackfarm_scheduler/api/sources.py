"""Check of the sources of a submission: signed URLs are issued only for the owner's objects."""

from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session

from trackfarm.catalog import Brief
from trackfarm.catalog.sources import OBJECT, is_local, is_url
from trackfarm_scheduler.objects.keys import UnsafeKey, checked_key, uploads_of
from trackfarm_scheduler.objects.port import ObjectStore
from trackfarm_scheduler.objects.sources import source_key
from trackfarm_scheduler.store import artifacts

NOT_YOURS = "is neither an upload nor a finished track of yours"


@dataclass(slots=True)
class SourceCheck:
    """Source check of one submission; each distinct source is looked up once."""

    objects: ObjectStore
    owner: str
    _checked: dict[str, str | None] = field(default_factory=dict)

    def errors(self, session: Session, row: int, brief: Brief) -> list[dict[str, Any]]:
        """List the errors in the sources of a row."""
        return [
            {"row": row, "field": name, "message": flaw}
            for name, reference in brief.sources()
            if (flaw := self._flaw(session, reference))
        ]

    def _flaw(self, session: Session, reference: str) -> str | None:
        if is_url(reference):
            return None
        if reference not in self._checked:
            self._checked[reference] = self._find_flaw(session, reference)
        return self._checked[reference]

    def _find_flaw(self, session: Session, reference: str) -> str | None:
        if is_local(reference):
            return "is a local file, which the farm cannot read; `trackfarm submit` uploads it"
        try:
            key = checked_key(source_key(reference, self.owner))
        except UnsafeKey:
            return NOT_YOURS
        if reference.startswith(OBJECT) and not self._belongs_to_owner(session, key):
            return NOT_YOURS
        exists = self.objects.stat(key) is not None
        return None if exists else "does not exist (any more); upload it first"

    def _belongs_to_owner(self, session: Session, key: str) -> bool:
        return key.startswith(uploads_of(self.owner)) or artifacts.is_made_for(
            session, key, self.owner
        )
