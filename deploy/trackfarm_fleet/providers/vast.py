"""Provider of Vast.ai machines, on demand and interruptible.

One process should make all calls of an account: Vast measures the interval between two calls of an
endpoint, and rejects the second one if it comes too soon.
"""

import shlex
import time
from collections.abc import Callable, Sequence

import httpx
from pydantic import SecretStr, ValidationError

from trackfarm_fleet.providers import vast_schema as schema
from trackfarm_fleet.providers.base import (
    BadRequest,
    Instance,
    InstanceState,
    MachineOffer,
    NotFound,
    OfferQuery,
    ProviderError,
    RentalRequest,
)
from trackfarm_fleet.providers.http import Api, Judge, ProviderCall, create_once, read

URL = "https://console.vast.ai"
MIN_CUDA = 12.8
MIN_RELIABILITY = 0.95
MIN_DOWN_MBPS = 200.0
PAGE = 25  # the largest page of the list
# Documented seconds between two calls of an endpoint; the search allows 10 a minute.
SEARCH_S, CREATE_S, LIST_S, DESTROY_S, BID_S = 6.0, 4.5, 1.0, 3.0, 5.5
DESTROY_TRIES = 4


class VastProvider:
    """One Vast.ai account. `image_login` as `docker login` takes it, for a private registry;
    `prefix` is that of our tags."""

    name = schema.NAME

    def __init__(
        self,
        key: SecretStr,
        *,
        prefix: str,
        url: str = URL,
        image_login: SecretStr | None = None,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api = Api(url, key, now=now, sleep=sleep)
        self._prefix = prefix
        self._image_login = image_login

    def close(self) -> None:
        self._api.close()

    def offers(self, query: OfferQuery) -> Sequence[MachineOffer] | ProviderError:
        call = ProviderCall("POST", "/api/v0/bundles/", "search", SEARCH_S, body=_search(query))
        answer = read(self._call(call, schema.judge_search), schema.Offers)
        if isinstance(answer, ProviderError):
            return answer
        listed = [schema.offer_of(o, interruptible=query.interruptible) for o in answer.offers]
        matching = (offer for offer in listed if offer.matches(query))
        return sorted(matching, key=lambda offer: offer.price_per_hour)

    def create(self, request: RentalRequest) -> Instance | ProviderError:
        return create_once(
            request.tag, attempt=lambda: self._create(request), listing=self.instances
        )

    def instances(self) -> Sequence[Instance] | ProviderError:
        listed: list[Instance] = []
        token: str | None = None
        while True:
            page = self._page(token)
            if isinstance(page, ProviderError):
                return page
            listed += map(schema.instance_of, page.instances)
            if not (token := page.next_token):
                return [i for i in listed if i.tag.startswith(self._prefix)]

    def terminate(self, instance_id: str) -> ProviderError | None:
        call = ProviderCall("DELETE", f"/api/v0/instances/{instance_id}/", "destroy", DESTROY_S)
        answer = self._call(call)
        if isinstance(answer, NotFound) or not isinstance(answer, ProviderError):
            return None
        return answer

    def change_bid(self, instance_id: str, price_per_hour: float) -> ProviderError | None:
        try:
            body = schema.VastBidRequest(price=price_per_hour)
        except ValidationError as error:
            return BadRequest(f"invalid bid: {error}")
        path = f"/api/v0/instances/bid_price/{instance_id}/"
        answer = self._call(ProviderCall("PUT", path, "bid", BID_S, body=body))
        return answer if isinstance(answer, ProviderError) else None

    def _page(self, token: str | None) -> schema.InstancePage | ProviderError:
        params = {"limit": str(PAGE)} | ({"after_token": token} if token else {})
        call = ProviderCall("GET", "/api/v1/instances/", "list", LIST_S, params=params)
        return read(self._call(call), schema.InstancePage)

    def _create(self, request: RentalRequest) -> Instance | ProviderError:
        try:
            body = _create_request(request, self._image_login)
        except ValidationError as error:
            return BadRequest(f"invalid request for a machine: {error}")
        leftovers: list[int] = []
        hidden = (*request.secrets.values(), *filter(None, (self._image_login,)))
        path = f"/api/v0/asks/{request.offer.id}/"
        call = ProviderCall(
            "PUT", path, "create", CREATE_S, body=body, repeatable=False, hidden=hidden
        )
        created = read(self._call(call, schema.judge_create_with(leftovers.append)), schema.Created)
        for contract in leftovers:
            self._destroy_with_retries(contract)
        if isinstance(created, ProviderError):
            return created
        return _new_instance(created.new_contract, request)

    def _destroy_with_retries(self, contract: int) -> None:
        """End a leftover machine, with retries. If that fails, it has our tag and the orphan
        cleaner ends it."""
        for _ in range(DESTROY_TRIES):
            if self.terminate(str(contract)) is None:
                return

    def _call(
        self, call: ProviderCall, judge: Judge = schema.judge
    ) -> httpx.Response | ProviderError:
        return self._api.call(call, judge=judge)


def _search(query: OfferQuery) -> schema.Search:
    return schema.Search(
        num_gpus={"eq": query.cards},
        # A 24 GB GPU reports 24,564 MB, or a tenth less with ECC on.
        gpu_ram={"gte": 930 * query.min_vram},
        disk_space={"gte": query.disk_gb},
        gpu_name={"in": list(query.gpus)} if query.gpus else None,
        dph_total={"lte": query.max_price} if query.max_price is not None else None,
        reliability={"gte": MIN_RELIABILITY},
        inet_down={"gte": MIN_DOWN_MBPS},
        cuda_max_good={"gte": MIN_CUDA},
        type="bid" if query.interruptible else "on-demand",
        allocated_storage=float(query.disk_gb),
    )


def _create_request(request: RentalRequest, image_login: SecretStr | None) -> schema.Create:
    return schema.Create(
        image=request.image,
        runtype="ssh" if request.command else "args",
        onstart=shlex.join(request.command) or None,
        disk=float(request.disk_gb),
        label=request.tag,
        env=request.environment(),
        image_login=image_login.get_secret_value() if image_login else None,
        price=request.bid,
    )


def _new_instance(contract: int, request: RentalRequest) -> Instance:
    """Return the new machine. The response has only an id; later lists have the rest."""
    offer = request.offer
    return Instance(
        provider=VastProvider.name,
        id=str(contract),
        tag=request.tag,
        state=InstanceState.STARTING,
        gpu=offer.gpu,
        gpus=offer.gpus,
        price_per_hour=offer.price_per_hour,
        region=offer.region,
        host=offer.host,
        min_bid=offer.min_bid if request.bid is not None else None,
    )
