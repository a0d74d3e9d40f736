"""Provider of RunPod pods, through its API v2. It has no interruptible machines, hence no bids."""

import shlex
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

import httpx
from pydantic import SecretStr, ValidationError

from trackfarm_fleet.providers import runpod_schema as schema
from trackfarm_fleet.providers.base import (
    BadRequest,
    Instance,
    InstanceState,
    MachineOffer,
    NoCapacity,
    NotFound,
    OfferQuery,
    ProviderError,
    RentalRequest,
)
from trackfarm_fleet.providers.http import Api, ProviderCall, common_error, create_once, read

URL = "https://api.runpod.io"
MIN_CUDA = "12.8"
# Our guess at the number of machines: the catalog has only these words.
_MACHINES = {"LOW": 1, "MEDIUM": 4, "HIGH": 16}
_CLOUDS = ("SECURE", "COMMUNITY")
_STATES = {
    "PROVISIONING": InstanceState.STARTING,
    "STARTING": InstanceState.STARTING,
    "RUNNING": InstanceState.RUNNING,
    "EXITED": InstanceState.STOPPED,
    "ERROR": InstanceState.BROKEN,
    "TERMINATED": InstanceState.ENDED,
}


class RunPodProvider:
    """One RunPod account. `registry` is the id of a registry credential, `clouds` which of SECURE
    and COMMUNITY may be rented; `prefix` is that of our tags."""

    name = "runpod"

    def __init__(
        self,
        key: SecretStr,
        *,
        prefix: str,
        url: str = URL,
        registry: str | None = None,
        clouds: Sequence[str] = _CLOUDS,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api = Api(url, key, now=now, sleep=sleep)
        self._prefix = prefix
        self._registry = registry
        self._clouds = tuple(clouds)

    def close(self) -> None:
        self._api.close()

    def offers(self, query: OfferQuery) -> Sequence[MachineOffer] | ProviderError:
        if query.interruptible:
            return []
        listed: list[MachineOffer] = []
        for cloud in self._clouds:
            answer = read(self._catalog(cloud, query.cards), schema.CatalogGpus)
            if isinstance(answer, ProviderError):
                return answer
            listed += (o for gpu in answer.gpus for o in _offers(gpu, cloud, query.cards))
        return sorted(
            (offer for offer in listed if offer.matches(query)), key=lambda o: o.price_per_hour
        )

    def create(self, request: RentalRequest) -> Instance | ProviderError:
        if request.bid is not None:
            return BadRequest("RunPod takes no bids")
        return create_once(
            request.tag, attempt=lambda: self._create(request), listing=self.instances
        )

    def instances(self) -> Sequence[Instance] | ProviderError:
        # The API's only list: complete, without filter or pages.
        answer = read(self._call(ProviderCall("GET", "/v2/pods", "pods")), schema.Pods)
        if isinstance(answer, ProviderError):
            return answer
        return [_instance(pod) for pod in answer.pods if pod.name.startswith(self._prefix)]

    def terminate(self, instance_id: str) -> ProviderError | None:
        answer = self._call(ProviderCall("DELETE", f"/v2/pods/{instance_id}", "pods"))
        if isinstance(answer, NotFound) or not isinstance(answer, ProviderError):
            return None
        return answer

    def charged(self, since: float) -> Mapping[str, float] | ProviderError:
        """Return the $ charged per pod. RunPod counts from the start of the day (UTC) of
        `since`."""
        start = datetime.fromtimestamp(since, UTC).isoformat()
        call = ProviderCall("GET", "/v2/billing/pods", "billing", params={"startTime": start})
        answer = read(self._call(call), schema.Charges)
        if isinstance(answer, ProviderError):
            return answer
        total: dict[str, float] = defaultdict(float)
        for record in answer.records:
            total[record.podId] += record.totalAmount
        return total

    def _catalog(self, cloud: str, cards: int) -> httpx.Response | ProviderError:
        params = {
            "include": "AVAILABILITY",
            "product": "POD",  # required with `include`
            "count": str(cards),
            "cloud": cloud,
            "minCudaVersion": MIN_CUDA,
        }
        return self._call(ProviderCall("GET", "/v2/catalog/gpus", "catalog", params=params))

    def _create(self, request: RentalRequest) -> Instance | ProviderError:
        try:
            body = _pod(request, self._registry)
        except (ValidationError, ValueError) as error:
            return BadRequest(f"invalid pod request: {error}")
        hidden = tuple(request.secrets.values())
        call = ProviderCall("POST", "/v2/pods", "pods", body=body, repeatable=False, hidden=hidden)
        pod = read(self._api.call(call, judge=_judge_create), schema.Pod)
        return pod if isinstance(pod, ProviderError) else _instance(pod)

    def _call(self, call: ProviderCall) -> httpx.Response | ProviderError:
        return self._api.call(call, judge=_judge)


def _judge(response: httpx.Response) -> ProviderError | None:
    return common_error(response, _detail(response))


def _judge_create(response: httpx.Response) -> ProviderError | None:
    # 400 means both "no machine" and "invalid request", without a code to tell them apart; 403 is a
    # pool that this account may not use. In both cases the next offer may work.
    if response.status_code in (400, 403):
        return NoCapacity(_detail(response))
    return _judge(response)


def _detail(response: httpx.Response) -> str:
    problem = read(response, schema.RunpodProblem)
    text = f"{problem.title} {problem.detail}" if isinstance(problem, schema.RunpodProblem) else ""
    return f"HTTP {response.status_code}: {text.strip() or response.text[:200]}"


def _offers(gpu: schema.CatalogGpu, cloud: str, cards: int) -> Iterator[MachineOffer]:
    """Yield one offer per data centre that has the GPU, or one in all if none is listed."""
    price = gpu.price.secure if cloud == "SECURE" else gpu.price.community
    if not price or (gpu.maxCount.get(cloud.lower()) or cards) < cards:
        return
    places = [(c.id, c.availability) for c in gpu.dataCenters] or [("", gpu.availability)]
    for place, availability in places:
        if machines := _MACHINES.get(availability, 0):
            yield MachineOffer(
                provider=RunPodProvider.name,
                id=f"{cloud}/{place}/{gpu.id}",
                gpu=gpu.id,
                gpus=cards,
                memory_mib=gpu.memory * 1024,
                price_per_hour=price * cards,
                region=place,
                count=machines,
            )


def _pod(request: RentalRequest, registry: str | None) -> schema.CreatePod:
    cloud, place, gpu = request.offer.id.split("/", 2)
    return schema.CreatePod.model_validate(
        {
            "name": request.tag,
            "image": request.image,
            "args": shlex.join(request.command) or None,
            "gpu": {"id": gpu, "count": request.offer.gpus, "minCudaVersion": MIN_CUDA},
            "cloud": cloud,
            "dataCenterIds": (place,) if place else None,
            "disk": request.disk_gb,
            "env": request.environment(),
            "registry": registry,
        }
    )


def _instance(pod: schema.Pod) -> Instance:
    gpu = pod.gpu or schema.PodGpu()
    return Instance(
        provider=RunPodProvider.name,
        id=pod.id,
        tag=pod.name,
        # A machine in an unknown state must not be ended.
        state=_STATES.get(pod.status, InstanceState.STARTING),
        gpu=gpu.id,
        gpus=gpu.count,
        price_per_hour=pod.cost,
        region=pod.dataCenterId or "",
        created_at=pod.createdAt.timestamp() if pod.createdAt else None,
        detail=pod.status,
    )
