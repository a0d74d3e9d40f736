"""Heartbeats: the one call that a thousand workers make all the time, so it is a bare route. What
FastAPI does for any other call costs five times as much as all that is done here."""

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
    """`POST heartbeat`: extends what the worker still holds, tells it to stop what it does not."""
    pulse = Pulse(farm)

    async def heartbeat(request: Request) -> Response:
        worker = await calling_worker(request)
        said = _read(await request.body())
        standing = await pulse.beat(worker.id, said)
        answer = _answer(farm, worker.id, said, standing)
        return Response(answer.model_dump_json(), media_type="application/json")

    return Route(f"{PREFIX}/heartbeat", heartbeat, methods=["POST"])


def _read(body: bytes) -> HeartbeatRequest:
    try:
        return HeartbeatRequest.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise Refused(422, WRONG_FORM, flaws(found)) from error


def _answer(
    farm: Farm, worker_id: str, said: HeartbeatRequest, standing: Standing
) -> HeartbeatAnswer:
    held = {s.lease_id for s in said.shards if (worker_id, s.lease_id) in standing.held}
    commands = [c for s in said.shards if (c := _command(s, held, standing.paused))]
    if worker_id in standing.leaving:
        commands.append(Command(kind=CommandKind.DRAIN, reason="the farm needs it no more"))
    return HeartbeatAnswer(
        leases=dict.fromkeys(held, farm.settings.lost_after_seconds),
        commands=commands,
        intervals=farm.intervals(standing.workers),
    )


def _command(shard: ShardProgress, held: set[str], paused: frozenset[str]) -> Command | None:
    if shard.lease_id in held and shard.lease_id not in paused:
        return None
    reason = "the job is paused" if shard.lease_id in paused else "the lease has ended"
    return Command(
        kind=CommandKind.STOP_SHARD,
        shard_id=shard.shard_id,
        lease_id=shard.lease_id,
        reason=reason,
    )
