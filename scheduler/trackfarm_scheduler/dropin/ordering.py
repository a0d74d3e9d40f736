"""From the parameters of a call to its job: store sources, translate parameters, create job."""

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
    """An accepted call; `ignored` lists its parameters that have no effect here."""

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
    """Create a job from a call.

    Raises Refused: 400 for parameters that cannot be fulfilled, 429 if the queue is full.
    """
    parameters = flattened({name: value for name, value in fields.items() if name not in files})
    kind = _kind(farm, line, parameters)
    sources = _sources(farm, caller, parameters, files)
    parameters |= {field: source.reference for field, source in sources.items()}
    source = sources.get("src_audio")
    outcome = translated(
        parameters,
        kind,
        draw=lambda: secrets.randbits(SEED_BITS),
        source_seconds=source.seconds if source is not None else None,
    )
    if isinstance(outcome, list):
        raise _refused(outcome)
    _require_sources(farm, caller, outcome.brief)
    return Ordered(accept(farm, line, caller, outcome.brief, kind), outcome.brief, outcome.ignored)


def _kind(farm: Farm, line: LineWatch, parameters: Mapping[str, object]) -> ModelSet:
    name = parameters.get("model") or default_model(farm.settings.default_model, line.now().models)
    if name not in model_sets():
        remedy = f"write one of {', '.join(model_sets())}"
        raise _refused([Fault("model", f"{shown(name)} is not a known model", remedy)])
    return model_set(str(name))


def _sources(
    farm: Farm, caller: Caller, parameters: Mapping[str, object], files: Mapping[str, UploadFile]
) -> dict[str, Source]:
    """Return the sources of a call by field; an uploaded file wins over a reference."""
    sources: dict[str, Source] = {
        FILE_FIELDS[name]: stored(farm, caller.owner, file, name)
        for name, file in files.items()
        if name in FILE_FIELDS and file.filename
    }
    with farm.database.read() as session:
        for field in set(FILE_FIELDS.values()) & parameters.keys() - sources.keys():
            source = sources[field] = named(session, parameters[field])
            if flaw := path_flaw(source.reference):
                raise _refused([Fault(field, flaw, "or give a URL, or the file of a result")])
    return sources


def _require_sources(farm: Farm, caller: Caller, brief: Brief) -> None:
    if brief.src_audio is None and brief.reference_audio is None:
        return
    with farm.database.read() as session:
        errors = SourceCheck(farm.objects, caller.owner).errors(session, 1, brief)
    if errors:
        raise _refused([Fault(e["field"], e["message"], "give another") for e in errors])


def _refused(faults: list[Fault]) -> Refused:
    errors = [{"field": f.field, "message": f"{f.wrong}; {f.remedy}"} for f in faults]
    return Refused(400, ". ".join(map(str, faults)), errors)
