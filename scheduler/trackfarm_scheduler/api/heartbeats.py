"""Heartbeat route. A thousand workers call it all the time, so it bypasses FastAPI.

FastAPI's processing of a call costs five times as much as all the work done here.
"""

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trackfarm.wire import (
    PREFIX,
    Command,
    CommandKind,
    HeartbeatAnswer,
    HeartbeatRequest,
    ShardProgress,
)
from trackfarm_scheduler.api.auth import calling_worker
from trackfarm_scheduler.api.problems import WRONG_FORM, Refused, flaws
from trackfarm_scheduler.farm import Farm
from trackfarm_scheduler.pulse import Pulse, Standing


def heartbeat_route(farm: Farm) -> Route:
    """Build `POST heartbeat`: extend the leases the worker holds, and tell it to stop the others."""
    pulse = Pulse(farm)

    async def heartbeat(request: Request) -> Response:
        worker = await calling_worker(request)
        beat = _read(await request.body())
        standing = await pulse.beat(worker.id, beat)
        answer = _answer(farm, worker.id, beat, standing)
        return Response(answer.model_dump_json(), media_type="application/json")

    return Route(f"{PREFIX}/heartbeat", heartbeat, methods=["POST"])


def _read(body: bytes) -> HeartbeatRequest:
    try:
        return HeartbeatRequest.model_validate_json(body)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        raise Refused(422, WRONG_FORM, flaws(errors)) from error


def _answer(
    farm: Farm, worker_id: str, beat: HeartbeatRequest, standing: Standing
) -> HeartbeatAnswer:
    held_leases = {s.lease_id for s in beat.shards if (worker_id, s.lease_id) in standing.held}
    commands = [c for s in beat.shards if (c := _command(s, held_leases, standing.paused))]
    if worker_id in standing.leaving:
        commands.append(Command(kind=CommandKind.DRAIN, reason="drain requested"))
    return HeartbeatAnswer(
        leases=dict.fromkeys(held_leases, farm.settings.lost_after_seconds),
        commands=commands,
        intervals=farm.intervals(standing.workers),
    )


def _command(shard: ShardProgress, held_leases: set[str], paused: frozenset[str]) -> Command | None:
    if shard.lease_id in held_leases and shard.lease_id not in paused:
        return None
    reason = "the job is paused" if shard.lease_id in paused else "the lease has ended"
    return Command(
        kind=CommandKind.STOP_SHARD,
        shard_id=shard.shard_id,
        lease_id=shard.lease_id,
        reason=reason,
    )
