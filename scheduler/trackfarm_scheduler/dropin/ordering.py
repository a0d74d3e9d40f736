"""One call from its parameters to its job: sources kept, parameters translated, job accepted."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import UploadFile

from trackfarm.catalog import Brief, Fault
from trackfarm.catalog.problems import shown
from trackfarm.identity import SEED_BITS
from trackfarm.model_sets import ModelSet, model_set, model_sets
from trackfarm_scheduler.access import Caller
from trackfarm_scheduler.api.problems import Refused
from trackfarm_scheduler.api.sources import SourceCheck
from trackfarm_scheduler.dropin.accepting import Accepted, accept
from trackfarm_scheduler.dropin.line import LineWatch, default_model
from trackfarm_scheduler.dropin.names import flattened
from trackfarm_scheduler.dropin.sources import FILE_FIELDS, Source, named, path_flaw, stored
from trackfarm_scheduler.dropin.translation import translated
from trackfarm_scheduler.farm import Farm


@dataclass(frozen=True, slots=True)
class Ordered:
    """What became of a call, and which of its parameters mean nothing here."""

    accepted: Accepted
    brief: Brief
    ignored: tuple[str, ...]


def order(
    farm: Farm,
    line: LineWatch,
    caller: Caller,
    fields: Mapping[str, object],
    files: Mapping[str, UploadFile],
) -> Ordered:
    """Raises Refused: 400 what is asked for cannot be made, 429 too much waits already."""
    given = flattened({name: value for name, value in fields.items() if name not in files})
    kind = _kind(farm, line, given)
    found = _sources(farm, caller, given, files)
    given |= {field: source.reference for field, source in found.items()}
    source = found.get("src_audio")
    outcome = translated(
        given,
        kind,
        draw=lambda: secrets.randbits(SEED_BITS),
        source_seconds=source.seconds if source is not None else None,
    )
    if isinstance(outcome, list):
        raise _refused(outcome)
    _require_sources(farm, caller, outcome.brief)
    return Ordered(accept(farm, line, caller, outcome.brief, kind), outcome.brief, outcome.ignored)


def _kind(farm: Farm, line: LineWatch, given: Mapping[str, object]) -> ModelSet:
    name = given.get("model") or default_model(farm.settings.default_model, line.now().models)
    if name not in model_sets():
        known = f"write one of {', '.join(model_sets())}"
        raise _refused([Fault("model", f"{shown(name)} is not a model here", known)])
    return model_set(str(name))


def _sources(
    farm: Farm, caller: Caller, given: Mapping[str, object], files: Mapping[str, UploadFile]
) -> dict[str, Source]:
    """What came with the call wins over what it names."""
    found: dict[str, Source] = {
        FILE_FIELDS[name]: stored(farm, caller.owner, file, name)
        for name, file in files.items()
        if name in FILE_FIELDS and file.filename
    }
    with farm.database.read() as session:
        for field in set(FILE_FIELDS.values()) & given.keys() - found.keys():
            source = found[field] = named(session, given[field])
            if flaw := path_flaw(source.reference):
                raise _refused([Fault(field, flaw, "or give a URL, or the file of a result")])
    return found


def _require_sources(farm: Farm, caller: Caller, brief: Brief) -> None:
    if brief.src_audio is None and brief.reference_audio is None:
        return
    with farm.database.read() as session:
        wrong = SourceCheck(farm.objects, caller.owner).errors(session, 1, brief)
    if wrong:
        raise _refused([Fault(e["field"], e["message"], "give another") for e in wrong])


def _refused(faults: list[Fault]) -> Refused:
    errors = [{"field": f.field, "message": f"{f.wrong}; {f.remedy}"} for f in faults]
    return Refused(400, ". ".join(map(str, faults)), errors)
