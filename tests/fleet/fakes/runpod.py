"""Fake of RunPod's API v2 as documented on 20 August 2026, with strict request validation."""

import shlex
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tests.fleet.fakes.account import Account, FakeMachine, Fault
from tests.servers.scripted_http import ReceivedRequest, Reply

KEY = "rpa_TEST0123456789"
CATALOG: list[dict[str, Any]] = [
    {"id": "NVIDIA GeForce RTX 4090", "memory": 24, "secure": 0.69, "community": 0.34},
    {"id": "NVIDIA L4", "memory": 24, "secure": 0.44, "community": None},
    {"id": "NVIDIA H200", "memory": 141, "secure": 3.59, "community": None},
]
DAY = 86_400
_CATALOG_PARAMS = {
    "include",
    "product",
    "count",
    "cloud",
    "countryCodes",
    "minCudaVersion",
    "cudaVersions",
}


class _StrictRunpodModel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Gpu(_StrictRunpodModel):
    id: str
    count: int = Field(default=1, ge=1)
    minCudaVersion: str | None = None
    allowedCudaVersions: list[str] | None = None


class _Volume(_StrictRunpodModel):
    volumeId: str
    path: str


class _Persistent(_StrictRunpodModel):
    size: int = Field(ge=10)
    path: str


class _Mounts(_StrictRunpodModel):
    persistent: _Persistent | None = None
    network: Annotated[list[_Volume], Field(max_length=1)] | None = None


class _CreatePod(_StrictRunpodModel):
    name: str
    image: str | None = None
    templateId: str | None = None
    gpu: _Gpu | None = None
    cpu: dict[str, Any] | None = None
    cloud: Literal["SECURE", "COMMUNITY"] = "SECURE"
    dataCenterIds: list[str] | None = None
    disk: int = 50
    args: str = ""
    env: dict[str, str] = Field(default_factory=dict)
    ports: list[str] = Field(default_factory=list)
    registry: str | None = None
    mounts: _Mounts | None = None
    startSsh: bool = False
    startJupyter: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> "_CreatePod":
        if (self.gpu is None) == (self.cpu is None):
            raise ValueError("exactly one of gpu and cpu")
        if not (self.image or self.templateId):
            raise ValueError("image or templateId")
        return self


def pod_key(pod: str) -> str:
    return f"rpa_POD_{pod}"


def inside(machine: FakeMachine) -> dict[str, str]:
    """Return the variables that the provider adds to a pod's environment."""
    return {"RUNPOD_POD_ID": machine.id, "RUNPOD_API_KEY": pod_key(machine.id)}


class FakeRunPod:
    """The fake API; `reply` handles a request. Every request is recorded in `requests`."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.requests: list[ReceivedRequest] = []

    def reply(self, request: ReceivedRequest) -> Reply:
        self.requests.append(request)
        if not self._is_let_in(request):
            return _problem(401, "Unauthorized", "the API key is not valid")
        if self.account.down:
            return _problem(503, "Service Unavailable", "try again later")
        answer = self._route(request)
        quota = {"RateLimit": '"minute";r=57;t=12, "hour";r=2900;t=1200'}
        return Reply(answer.status, answer.body, {**quota, **answer.headers})

    def _is_let_in(self, request: ReceivedRequest) -> bool:
        """Accept the account's key, and a pod's own key, which can end that pod only."""
        shown = request.headers.get("authorization", "").removeprefix("Bearer ")
        pod = request.path.removeprefix("/v2/pods/")
        return shown == KEY or (request.method == "DELETE" and shown == pod_key(pod))

    def _route(self, request: ReceivedRequest) -> Reply:
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["v2", "catalog", "gpus"]:
                return self._or_fault("offers", lambda: self._catalog(request))
            case "GET", ["v2", "billing", "pods"]:
                return self._or_fault("billing", lambda: self._billing(request))
            case "POST", ["v2", "pods"]:
                return self._or_fault("create", lambda: self._create(request))
            case "GET", ["v2", "pods"]:
                return self._or_fault("list", lambda: self._list(request))
            case "GET", ["v2", "pods", pod]:
                return self._with(pod, lambda m: Reply(200, self._pod(m)))
            case "DELETE", ["v2", "pods", pod]:
                return self._or_fault("terminate", lambda: self._with(pod, self._terminate))
        return _problem(404, "Not Found", f"no route {request.method} {request.path}")

    def _or_fault(self, operation: str, act: Any) -> Reply:
        match self.account.next_fault(operation):
            case Fault.RATE_LIMITED:
                problem = _problem(429, "Too Many Requests", "slow down")
                return Reply(429, problem.body, {"Retry-After": "7"})
            case Fault.SERVER_ERROR:
                return _problem(500, "Internal Server Error", "something broke")
            case Fault.NO_CAPACITY:
                return _problem(400, "Bad Request", "There are no instances currently available")
            case Fault.HANGS_UP_BEFORE:
                return Reply(0)
            case Fault.HANGS_UP_AFTER:
                act()
                return Reply(0)
            case Fault.DONE_TWICE:
                act()
        answer: Reply = act()
        return answer

    def _catalog(self, request: ReceivedRequest) -> Reply:
        if unknown := set(request.params) - _CATALOG_PARAMS:
            return _problem(422, "Unprocessable", f"unknown parameters {sorted(unknown)}")
        if "include" in request.params and "product" not in request.params:
            return _problem(400, "Bad Request", "product is required with include")
        if {"cudaVersions", "minCudaVersion"} <= set(request.params):
            return _problem(400, "Bad Request", "cudaVersions excludes minCudaVersion")
        return Reply(200, {"gpus": [_catalog_row(row) for row in CATALOG]})

    def _billing(self, request: ReceivedRequest) -> Reply:
        if unknown := set(request.params) - {
            "startTime",
            "endTime",
            "bucketSize",
            "lastN",
            "podId",
        }:
            return _problem(422, "Unprocessable", f"unknown parameters {sorted(unknown)}")
        start = datetime.fromisoformat(request.params["startTime"]).timestamp()
        charges = self.account.charges(start - start % DAY)
        # Each ran past midnight.
        records = [_charge(pod, float(amount / 2)) for pod, amount in charges.items()] * 2
        return Reply(200, {"records": records, "metadata": {"totals": {}}})

    def _create(self, request: ReceivedRequest) -> Reply:
        try:
            body = _CreatePod.model_validate_json(request.body)
        except ValidationError as error:
            # The real one quotes the request.
            listed = [f"{e['loc']}: {e['msg']} (got {e['input']})" for e in error.errors()]
            return _problem(422, "Unprocessable", f"body: {request.body.decode()}", listed)
        assert body.gpu is not None
        gpu = body.gpu
        row = next((row for row in CATALOG if row["id"] == gpu.id), None)
        price = row[body.cloud.lower()] if row else None
        if price is None:
            return _problem(400, "Bad Request", "There are no instances currently available")
        machine = self.account.rent(
            tag=body.name,
            gpu=gpu.id,
            gpus=gpu.count,
            price=price * gpu.count,
            env=body.env,
            command=shlex.split(body.args),  # a stock image's entry point runs its arguments
        )
        return Reply(201, self._pod(machine))

    def _list(self, request: ReceivedRequest) -> Reply:
        if set(request.params) - {"includeClusterPods"}:
            return _problem(422, "Unprocessable", "the list has no filters")
        return Reply(200, {"pods": [self._pod(m) for m in self.account.listed()]})

    def _with(self, pod: str, act: Any) -> Reply:
        machine = self.account.machines.get(pod)
        if machine is None or machine not in list(self.account.listed()):
            return _problem(404, "Not Found", "pod not found")
        answer: Reply = act(machine)
        return answer

    def _terminate(self, machine: FakeMachine) -> Reply:
        self.account.end(machine)
        return Reply(204)

    def _pod(self, machine: FakeMachine) -> dict[str, Any]:
        status = self._status(machine)
        return {
            "id": machine.id,
            "name": machine.tag,
            "status": status,
            "actions": ["terminate"],
            "image": "registry.example/worker:1",
            "args": "",
            "disk": 50,
            "ports": [],
            "env": machine.env,
            "registry": None,
            "mounts": {},
            "gpu": {"id": machine.gpu, "count": machine.gpus},
            "cloud": "SECURE",
            "dataCenterId": "EU-RO-1",
            "cudaVersion": "12.8",
            "cost": 0.0 if status in ("EXITED", "TERMINATED") else machine.price,
            "locked": False,
            "globalNetworking": {"enabled": False},
            "runtime": None,
            "createdAt": datetime.fromtimestamp(machine.created_at, UTC).isoformat(),
            "startedAt": None,
        }

    def _status(self, machine: FakeMachine) -> str:
        now = self.account.clock.now
        if machine.ended_at is not None:
            return "TERMINATED"
        if machine.broken:
            return "ERROR"
        if now < machine.boots_at:
            return "PROVISIONING" if now < machine.created_at + 10 else "STARTING"
        return "EXITED" if machine.stopped else "RUNNING"


def _catalog_row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "name": row["id"].removeprefix("NVIDIA "),
        "pool": "ADA_24",
        "manufacturer": "Nvidia",
        "memory": row["memory"],
        "secure": True,
        "community": row["community"] is not None,
        "price": {"secure": row["secure"], "community": row["community"], "serverless": 0.0},
        "maxCount": {"secure": 8, "community": 4},
        "availability": "LOW",
        "dataCenters": [
            {"id": "EU-RO-1", "name": "EU-RO-1", "availability": "MEDIUM"},
            {"id": "US-KS-2", "name": "US-KS-2", "availability": "NONE"},
        ],
        "cudaVersions": [{"version": "12.8", "available": True}],
    }


def _charge(pod: str, amount: float) -> dict[str, Any]:
    gpu = round(amount * 0.9, 6)
    return {
        "startTime": "2026-11-01T00:00:00Z",
        "endTime": "2026-11-02T00:00:00Z",
        "podId": pod,
        "totalAmount": amount,
        "gpuAmount": gpu,
        "cpuAmount": 0.0,
        "diskAmount": amount - gpu,
    }


def _problem(status: int, title: str, detail: str, errors: list[str] | None = None) -> Reply:
    body: dict[str, Any] = {"title": title, "status": status, "detail": detail}
    return Reply(status, {**body, "errors": errors} if errors else body)
