"""Provisioner: creates machines and changes bids; stores the intent first, then calls the
provider."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import structlog
from pydantic import SecretStr

from trackfarm import rentals as wire
from trackfarm_fleet.book import Book
from trackfarm_fleet.decision import ChangeBid, Rent
from trackfarm_fleet.joining import Invitation
from trackfarm_fleet.market import Market
from trackfarm_fleet.providers.port import Bidding, Instance, Provider, RentalRequest
from trackfarm_fleet.rental import created
from trackfarm_fleet.situation import Candidate
from trackfarm_fleet.tags import Tags

log = structlog.get_logger(__name__)
CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Equipment:
    """Launch settings of a rented machine: `image` with `disk_gb` of disk, joining at
    `scheduler_url`. `env` applies to all machines. `start` returns the command (empty: the image's
    own); it is called for each machine, because the bundle may have changed in between."""

    scheduler_url: str
    image: str = ""
    disk_gb: int = 50
    env: Mapping[str, str] = field(default_factory=dict)
    start: Callable[[], tuple[str, ...]] = tuple


class Renter:
    """Creates machines at the providers. `now` in seconds since 1970."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        market: Market,
        equipment: Equipment,
        *,
        tags: Tags,
        now: Callable[[], float],
    ) -> None:
        self._providers = providers
        self._market = market
        self._equipment = equipment
        self._tags = tags
        self._now = now

    def check(self) -> None:
        """Raise SettingsError if no start command can be made."""
        self._equipment.start()

    def rent(self, book: Book, rent: Rent, *, model_set: str, purpose: str) -> bool:
        """Create a machine; return True if it exists or may exist."""
        plan = self._plan(rent, model_set, purpose)
        command = self._equipment.start()
        token = book.intend(plan)
        request = self._request(rent, plan, token, command)
        answer = self._providers[plan.provider].create(request)
        rental = book.write(created(book.rental(plan.tag), answer, self._now()), at=self._now())
        if not isinstance(answer, Instance):
            self._market.refused(rent.candidate.offer, answer)
        else:
            price = f"${rental.price_per_hour:.3f}/h"
            log.info("machine_rented", tag=plan.tag, gpu=plan.gpu, price=price, why=rent.reason)
        return rental.is_open

    def change_bid(self, book: Book, bid: ChangeBid) -> None:
        row = book.rows[bid.tag]
        provider = self._providers.get(row.plan.provider)
        if not isinstance(provider, Bidding):
            return
        trouble = provider.change_bid(row.standing.provider_id, bid.price_per_hour)
        if trouble is not None:
            log.warning("bid_change_failed", tag=bid.tag, why=trouble.detail)
            return
        log.info("bid_changed", tag=bid.tag, bid=bid.price_per_hour, why=bid.reason)
        changed = replace(book.rental(bid.tag), price_per_hour=bid.price_per_hour)
        book.write(changed, at=self._now(), bid=bid.price_per_hour)

    def _plan(self, rent: Rent, model_set: str, purpose: str) -> wire.RentalPlan:
        candidate: Candidate = rent.candidate
        return wire.RentalPlan(
            tag=self._tags.new(),
            provider=candidate.offer.provider,
            gpu=candidate.offer.gpu,
            gpus=candidate.cards,
            vram=candidate.vram,
            model_set=model_set,
            purpose=purpose,
            price_per_hour=candidate.price_per_hour,
            bid=rent.bid,
            ready_in=candidate.ready_in,
            intended_at=self._now(),
        )

    def _request(
        self, rent: Rent, plan: wire.RentalPlan, token: SecretStr, command: tuple[str, ...]
    ) -> RentalRequest:
        device = CPU if plan.gpu == CPU else "cuda"
        invitation = Invitation(self._equipment.scheduler_url, token, plan.model_set, device)
        env = invitation.env(
            tag=plan.tag,
            provider=plan.provider,
            price_per_hour=plan.price_per_hour / plan.gpus,
            cards=plan.gpus,
        )
        return RentalRequest(
            tag=plan.tag,
            offer=rent.candidate.offer,
            image=self._equipment.image,
            command=command,
            disk_gb=self._equipment.disk_gb,
            env={**self._equipment.env, **env},
            secrets=invitation.secrets(),
            bid=rent.bid,
        )
