"""Provisioner: creates machines and changes bids; stores the intent first, then calls the
provider.

A machine with a stock image runs a start command that installs the worker from the scheduler. The
bundle (`deploy/provision/bundle`) is verified by the digest in the command. The token that
authorizes its download stays in the environment: it appears in no argument list, and curl sends it
to no redirect target.
"""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import structlog
from pydantic import SecretStr

from trackfarm.net.tls import PREFIX
from trackfarm.protocol import fleet as fleet_api
from trackfarm.protocol.worker import BUNDLE
from trackfarm_fleet.autoscaler.models import BidChange, Candidate, RentOffer
from trackfarm_fleet.offers import OfferMarket
from trackfarm_fleet.providers.base import CPU, Bidding, Instance, Provider, RentalRequest
from trackfarm_fleet.providers.worker_env import WorkerInvitation
from trackfarm_fleet.rentals.repository import RentalRepository
from trackfarm_fleet.rentals.state_machine import after_create
from trackfarm_fleet.rentals.tags import Tags

log = structlog.get_logger(__name__)
# One line without single quotes, because every provider splits a command into words differently.
_SCRIPT = """
set -euo pipefail; umask 077;
d=${TRACKFARM_FOLDER:-/workspace/trackfarm}/bundle; mkdir -p "$d"; cd "$d";
ca=; n=1; while p=@PIECE@$n; [ -n "${!p:-}" ]; do ca=$ca${!p}; n=$((n+1)); done;
trust=(); if [ -n "$ca" ]; then
{ cat /etc/ssl/certs/ca-certificates.crt 2>/dev/null || true; echo "$ca" | base64 -d; } > ca.pem;
trust=(--cacert ca.pem); fi;
printf "header = \\"Authorization: Bearer %s\\"\\n" "$TRACKFARM_WORKER_JOIN_TOKEN" |
curl --config - -fsS --retry 5 --retry-connrefused "${trust[@]}" -o bundle.tar.gz @URL@;
echo "@DIGEST@  bundle.tar.gz" | sha256sum --check --quiet;
tar -xzf bundle.tar.gz; exec bash start
"""


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """Launch settings of a rented machine: `image` with `disk_gb` of disk, joining at
    `scheduler_url`. `env` applies to all machines. `start_command` returns the command (empty: the
    image's own); it is called for each machine, because the bundle may have changed in between."""

    scheduler_url: str
    image: str = ""
    disk_gb: int = 50
    env: Mapping[str, str] = field(default_factory=dict)
    start_command: Callable[[], tuple[str, ...]] = tuple


class Provisioner:
    """Creates machines at the providers. `now` in seconds since 1970."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        market: OfferMarket,
        launch: LaunchSpec,
        *,
        tags: Tags,
        now: Callable[[], float],
    ) -> None:
        self._providers = providers
        self._market = market
        self._launch = launch
        self._tags = tags
        self._now = now

    def check_start_command(self) -> None:
        """Raise ClientSettingsError if no start command can be made."""
        self._launch.start_command()

    def rent(
        self, repository: RentalRepository, rent: RentOffer, *, model_set: str, purpose: str
    ) -> bool:
        """Create a machine; return True if it exists or may exist."""
        plan = self._plan(rent, model_set, purpose)
        command = self._launch.start_command()
        token = repository.create_intent(plan)
        request = self._request(rent, plan, token, command)
        answer = self._providers[plan.provider].create(request)
        at = self._now()
        rental = repository.write(after_create(repository.record(plan.tag), answer, at), at=at)
        if isinstance(answer, Instance):
            price = f"${rental.price_per_hour:.3f}/h"
            log.info("machine_rented", tag=plan.tag, gpu=plan.gpu, price=price, why=rent.reason)
        else:
            self._market.record_failure(rent.candidate.offer, answer)
        return rental.is_open

    def change_bid(self, repository: RentalRepository, bid: BidChange) -> None:
        row = repository.rows[bid.tag]
        provider = self._providers.get(row.plan.provider)
        if not isinstance(provider, Bidding):
            return
        error = provider.change_bid(row.status.provider_id, bid.price_per_hour)
        if error is not None:
            log.warning("bid_change_failed", tag=bid.tag, why=error.detail)
            return
        log.info("bid_changed", tag=bid.tag, bid=bid.price_per_hour, why=bid.reason)
        changed = replace(repository.record(bid.tag), price_per_hour=bid.price_per_hour)
        repository.write(changed, at=self._now(), bid=bid.price_per_hour)

    def _plan(self, rent: RentOffer, model_set: str, purpose: str) -> fleet_api.RentalPlan:
        candidate: Candidate = rent.candidate
        return fleet_api.RentalPlan(
            tag=self._tags.new(),
            provider=candidate.offer.provider,
            gpu=candidate.offer.gpu,
            gpus=candidate.cards,
            vram=candidate.vram,
            model_set=model_set,
            purpose=purpose,
            price_per_hour=candidate.price_per_hour,
            bid=rent.bid,
            ready_in=candidate.ready_in_seconds,
            intended_at=self._now(),
        )

    def _request(
        self,
        rent: RentOffer,
        plan: fleet_api.RentalPlan,
        token: SecretStr,
        command: tuple[str, ...],
    ) -> RentalRequest:
        device = CPU if plan.gpu == CPU else "cuda"
        invitation = WorkerInvitation(self._launch.scheduler_url, token, plan.model_set, device)
        env = invitation.env(
            tag=plan.tag,
            provider=plan.provider,
            price_per_hour=plan.price_per_hour / plan.gpus,
            cards=plan.gpus,
        )
        return RentalRequest(
            tag=plan.tag,
            offer=rent.candidate.offer,
            image=self._launch.image,
            command=command,
            disk_gb=self._launch.disk_gb,
            env={**self._launch.env, **env},
            secrets=invitation.secrets(),
            bid=rent.bid,
        )


def start_command(scheduler_url: str, sha256: str) -> tuple[str, ...]:
    """Return the command for an image that has only bash, curl and Python. `sha256` (hex) is the
    digest of the bundle."""
    url = shlex.quote(scheduler_url + BUNDLE)
    script = " ".join(_SCRIPT.split("\n")).strip()
    for name, value in (("@PIECE@", PREFIX), ("@URL@", url), ("@DIGEST@", sha256)):
        script = script.replace(name, value)
    return "bash", "-c", script
