"""Fake of Vast.ai's REST API as documented in August 2026, with its rate limits and quirks."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tests.fleet.fakes.account import Account, FakeMachine, Fault
from tests.servers.scripted_http import ReceivedRequest, Reply

KEY = "vast-test-0123456789abcdef"
MAX_PAGE = 25
THRESHOLDS = {"offers": 6.0, "create": 4.5, "list": 1.0, "terminate": 3.0, "bid": 5.5}


class _StrictVastModel(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _SearchBody(_StrictVastModel):
    gpu_name: dict[str, Any] | None = None
    num_gpus: dict[str, Any] | None = None
    gpu_ram: dict[str, Any] | None = None
    reliability: dict[str, Any] | None = None
    verified: dict[str, Any] | None = None
    rentable: dict[str, Any] | None = None
    rented: dict[str, Any] | None = None
    cuda_max_good: dict[str, Any] | None = None
    inet_down: dict[str, Any] | None = None
    disk_space: dict[str, Any] | None = None
    dph_total: dict[str, Any] | None = None
    geolocation: dict[str, Any] | None = None
    type: Literal["ondemand", "on-demand", "bid", "reserved"] = "on-demand"
    order: list[list[str]] = Field(default_factory=list)
    limit: int = 64
    allocated_storage: float = 5.0


class _Create(_StrictVastModel):
    client_id: Literal["me"]
    image: str = Field(max_length=1024)
    disk: float = Field(ge=8)
    label: str = Field(max_length=256)
    runtype: Literal["ssh", "ssh_proxy", "ssh_direct", "jupyter", "args"] = "ssh"
    args_str: str = ""
    onstart: str = ""
    env: dict[str, str]
    image_login: str | None = None
    price: float | None = Field(default=None, ge=0.001, le=128)
    cancel_unavail: bool | None = None
    target_state: Literal["running", "stopped"] = "running"

    @model_validator(mode="after")
    def _short(self) -> "_Create":
        if any(len(k) > 256 or len(v) > 256 for k, v in self.env.items()):
            raise ValueError("env max_length 256")
        if len(self.args_str) + len(self.onstart) > 4096 or len(self.onstart) > 4048:
            raise ValueError("args and onstart too long")
        if self.onstart and self.runtype == "args":
            raise ValueError("nothing would run onstart: the image keeps its entry point")
        return self


class _Bid(_StrictVastModel):
    client_id: Literal["me"]
    price: float = Field(ge=0.001, le=32)


def offer(number: int, *, gpu: str = "RTX 4090", price: float = 0.4) -> dict[str, Any]:
    return {
        "id": number,
        "ask_contract_id": number,
        "machine_id": number * 10,
        "host_id": number * 100,
        "gpu_name": gpu,
        "num_gpus": 1,
        "gpu_ram": 24564,
        "gpu_total_ram": 24564,
        "dph_base": price,
        "dph_total": price + 0.01,
        "min_bid": price / 2,
        "reliability2": 0.99,
        "inet_down": 800.0,
        "geolocation": "Sweden, SE",
        "rentable": True,
        "is_bid": False,
    }


def container_key(instance: str) -> str:
    return f"container-key-of-{instance}"


def inside(machine: FakeMachine) -> dict[str, str]:
    """Return the variables that the provider adds to a container's environment."""
    return {"CONTAINER_ID": machine.id, "CONTAINER_API_KEY": container_key(machine.id)}


def _is_let_in(request: ReceivedRequest) -> bool:
    """Accept the account's key, and a container's own key, which can end that container only."""
    shown = request.headers.get("authorization", "").removeprefix("Bearer ")
    instance = request.path.removeprefix("/api/v0/instances/").strip("/")
    return shown == KEY or (request.method == "DELETE" and shown == container_key(instance))


class FakeVast:
    """The fake API; `reply` handles a request; `offers` by id, `requests` records every request."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.requests: list[ReceivedRequest] = []
        self.offers = {n: offer(n, price=0.3 + n / 100) for n in (11, 12, 13)}
        self._last: dict[str, float] = {}

    def reply(self, request: ReceivedRequest) -> Reply:
        self.requests.append(request)
        if not _is_let_in(request):
            status = 404 if request.path == "/api/v0/bundles/" else 401
            return Reply(status, {"success": False, "error": "auth_error", "msg": "Invalid key"})
        if self.account.down:
            return Reply(502, "<html>Bad Gateway</html>")
        return self._route(request)

    def _route(self, request: ReceivedRequest) -> Reply:
        match request.method, request.path.split("/")[1:]:
            case "POST", ["api", "v0", "bundles", ""]:
                return self._or_fault("offers", lambda: self._search(request))
            case "PUT", ["api", "v0", "asks", ask, ""]:
                return self._or_fault("create", lambda: self._create(int(ask), request))
            case "GET", ["api", "v1", "instances", ""]:
                return self._or_fault("list", lambda: self._list(request))
            case "DELETE", ["api", "v0", "instances", number, ""]:
                return self._or_fault("terminate", lambda: self._destroy(number))
            case "PUT", ["api", "v0", "instances", "bid_price", number, ""]:
                return self._or_fault("bid", lambda: self._change_bid(number, request))
        return Reply(404, {"error": "not_found", "msg": f"no route {request.path}"})

    def _or_fault(self, operation: str, act: Any) -> Reply:
        if self._too_soon(operation):
            message = "API requests too frequent: endpoint threshold="
            return Reply(429, f"{message}{THRESHOLDS[operation]}")
        match self.account.next_fault(operation):
            case Fault.RATE_LIMITED:
                return Reply(429, {"detail": "too many requests"})
            case Fault.SERVER_ERROR:
                return Reply(500, {"success": False, "error": "server_error"})
            case Fault.NO_CAPACITY:
                message = "error 404/3603: no_such_ask Instance type by id is not available."
                return Reply(404, {"success": False, "error": "invalid_args", "msg": message})
            case Fault.HANGS_UP_BEFORE:
                return Reply(0)
            case Fault.HANGS_UP_AFTER:
                act()
                return Reply(0)
            case Fault.DONE_TWICE:
                act()
            case Fault.BID_TOO_LOW:
                result = act()
                contract = result.body["new_contract"]
                self.account.outbid(str(contract))
                body = {"success": False, "error": "invalid_price", "new_contract": contract}
                return Reply(400, body)
        answer: Reply = act()
        return answer

    def _too_soon(self, operation: str) -> bool:
        now = self.account.clock.now
        last = self._last.get(operation, -1e9)
        self._last[operation] = now
        return now - last < THRESHOLDS[operation] - 1e-6

    def _search(self, request: ReceivedRequest) -> Reply:
        try:
            body = _SearchBody.model_validate_json(request.body)
        except ValidationError as error:
            return Reply(400, {"success": False, "error": "invalid_request", "msg": str(error)})
        names = (body.gpu_name or {}).get("in")
        offers = [o for o in self.offers.values() if names is None or o["gpu_name"] in names]
        most = (body.dph_total or {}).get("lte", 1e9)
        return Reply(200, {"offers": [o for o in offers if o["dph_total"] <= most]})

    def _create(self, ask: int, request: ReceivedRequest) -> Reply:
        try:
            body = _Create.model_validate_json(request.body)
        except ValidationError as error:
            return Reply(400, {"success": False, "error": "invalid_args", "msg": str(error)})
        if (listing := self.offers.get(ask)) is None:
            return Reply(410, {"success": False, "error": "no_such_ask", "msg": "gone"})
        machine = self.account.rent(
            tag=body.label,
            gpu=listing["gpu_name"],
            gpus=1,
            price=listing["dph_total"] if body.price is None else body.price,
            env=body.env,
            bid=body.price,
            command=["bash", "-c", body.onstart] if body.onstart else [],
        )
        result = {"success": True, "new_contract": int(machine.id), "instance_api_key": "k"}
        return Reply(200, result)

    def _list(self, request: ReceivedRequest) -> Reply:
        allowed = {"limit", "after_token", "select_filters", "select_cols", "order_by"}
        if set(request.params) - allowed:
            return Reply(400, {"success": False, "error": "invalid_args"})
        limit = int(request.params.get("limit", "25"))
        limit = 5 if limit <= 0 else min(limit, MAX_PAGE)
        rows = [self._row(machine) for machine in self.account.listed()]
        start = int(request.params.get("after_token", "0"))
        page = rows[start : start + limit]
        token = str(start + limit) if start + limit < len(rows) else None
        return Reply(
            200,
            {
                "success": True,
                "instances_found": len(page),
                "total_instances": len(rows),
                "next_token": token,
                "instances": page,
            },
        )

    def _destroy(self, number: str) -> Reply:
        machine = self.account.machines.get(number)
        if machine is None or machine not in list(self.account.listed()):
            return Reply(404, {"success": False, "error": "no_such_instance"})
        self.account.end(machine)
        return Reply(200, {"success": True})

    def _change_bid(self, number: str, request: ReceivedRequest) -> Reply:
        try:
            body = _Bid.model_validate_json(request.body)
        except ValidationError as error:
            return Reply(400, {"success": False, "error": "invalid_price", "msg": str(error)})
        machine = self.account.machines.get(number)
        if machine is None or machine.bid is None:
            return Reply(404, {"error": "not_found"})
        machine.bid = body.price
        self.account.resume(machine, body.price)
        return Reply(200, {"success": True})

    def _row(self, machine: FakeMachine) -> dict[str, Any]:
        return {
            "id": int(machine.id),
            "label": machine.tag,
            "actual_status": self._status(machine),
            "intended_status": "stopped" if machine.ended_at is not None else "running",
            "cur_state": "running",
            "status_msg": None,
            "machine_id": 110,
            "gpu_name": machine.gpu,
            "num_gpus": machine.gpus,
            "dph_total": self.account.disk_price if machine.stopped else machine.price,
            "is_bid": machine.bid is not None,
            "min_bid": 0.25,
            "start_date": machine.created_at,
            "geolocation": "Sweden, SE",
            "extra_env": [[k, v] for k, v in machine.env.items()],
            "ports": {},
        }

    def _status(self, machine: FakeMachine) -> str | None:
        now = self.account.clock.now
        if machine.broken:
            return "offline"
        if machine.stopped or machine.ended_at is not None:
            return "stopped"
        if now < machine.boots_at:
            return None if now < machine.created_at + 10 else "loading"
        return "running"
