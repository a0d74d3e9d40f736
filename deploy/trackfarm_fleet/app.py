"""The composition root: builds a fleet process's parts from its settings."""

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

from trackfarm.client import RequestRefused
from trackfarm.identity import new_id
from trackfarm.net.safe_urls import http_url_problem
from trackfarm.net.tls import pack_ca
from trackfarm.planning import Prices, PricesError, load_prices
from trackfarm.settings import ClientSettingsError, FarmAddress
from trackfarm_fleet.billing.invoices import Invoices
from trackfarm_fleet.offers import OfferMarket
from trackfarm_fleet.providers.base import Provider
from trackfarm_fleet.providers.manual import ManualProvider
from trackfarm_fleet.providers.runpod import RunPodProvider
from trackfarm_fleet.providers.vast import VastProvider
from trackfarm_fleet.provisioner import LaunchSpec, Provisioner, start_command
from trackfarm_fleet.reconciler import Reconciler
from trackfarm_fleet.rentals.monitor import RentalMonitor
from trackfarm_fleet.rentals.tags import Tags
from trackfarm_fleet.scheduler_client import FleetClient
from trackfarm_fleet.settings import FleetSettings, ProviderName

RENTED_PROVIDERS = frozenset({"runpod", "vast"})
_IMAGES = {
    "image": "the worker image that machines run",
    "provision": "a stock image with bash, curl and Python 3.11 or 3.12",
}


def connect(address: FarmAddress) -> FleetClient:
    """Return a client for the scheduler. Raises UnsafeAddress or ClientSettingsError."""
    return FleetClient(
        address.url,
        address.api_key,
        retry_seconds=20.0,
        ca_file=address.ca_file,
        insecure=address.insecure,
    )


@contextmanager
def open_reconciler(settings: FleetSettings, farm: FleetClient) -> Iterator[Reconciler]:
    """Yield a reconciler and close its providers afterwards. Raises ClientSettingsError for
    unusable settings, and the errors of the scheduler's client."""
    tags = Tags(farm.fleet_lease().farm)
    with ExitStack() as stack:
        yield build_reconciler(settings, farm, open_providers(settings, tags, stack), tags=tags)


def build_reconciler(
    settings: FleetSettings,
    farm: FleetClient,
    providers: Sequence[Provider],
    *,
    tags: Tags,
    now: Callable[[], float] = time.time,
) -> Reconciler:
    """Return a reconciler over providers that are already open."""
    by_name = {provider.name: provider for provider in providers}
    market = OfferMarket(by_name, now=now)
    monitor = RentalMonitor(
        farm,
        by_name,
        tags=tags,
        timeouts=settings.timeouts,
        avoid_host=market.avoid_host,
        now=now,
    )
    launch = _launch_spec(settings, farm)
    return Reconciler(
        farm,
        monitor=monitor,
        provisioner=Provisioner(by_name, market, launch, tags=tags, now=now),
        market=market,
        invoices=Invoices(by_name, now=now),
        prices=known_prices(),
        holder=f"{socket.gethostname()[:60]}:{new_id('fleet')}",
        lease_seconds=settings.lease_seconds,
        now=now,
    )


def open_providers(settings: FleetSettings, tags: Tags, stack: ExitStack) -> Sequence[Provider]:
    """Open the providers that the settings name; `stack` closes them. Raises ClientSettingsError if
    a setting is missing."""
    if not settings.provider_names:
        raise ClientSettingsError(
            "no provider is configured: set RUNPOD_API_KEY or VAST_API_KEY, or"
            " TRACKFARM_FLEET_PROVIDERS='[\"local\"]' for workers on this machine"
        )
    return [_open(name, settings, tags, stack) for name in settings.provider_names]


def _open(name: ProviderName, settings: FleetSettings, tags: Tags, stack: ExitStack) -> Provider:
    if name in RENTED_PROVIDERS and not settings.image:
        raise ClientSettingsError(f"set TRACKFARM_FLEET_IMAGE to {_IMAGES[settings.start]}")
    if name == "local" and settings.start == "provision":
        raise ClientSettingsError(
            "TRACKFARM_FLEET_START=provision does not work with local workers: they run the worker"
            " that is installed on this machine"
        )
    match name:
        case "runpod":
            return stack.enter_context(closing(_runpod(settings, tags)))
        case "vast":
            return stack.enter_context(closing(_vast(settings, tags)))
        case "local":
            return _local(settings, tags)
        case "manual":
            folder = settings.folder / "manual"
            return ManualProvider(settings.hosts, prefix=tags.prefix, folder=folder, show=_show)


def _local(settings: FleetSettings, tags: Tags) -> Provider:
    # Imported here because they need psutil, an optional dependency; `trackfarm --help` must work
    # without it.
    from trackfarm_fleet.providers import local
    from trackfarm_fleet.providers.local import LocalProvider

    slots = local.slots(settings.local_workers, price=settings.local_price)
    return LocalProvider(slots, prefix=tags.prefix, folder=settings.folder / "local")


def _show(text: str) -> None:
    """Print to standard error, because standard output may carry JSON."""
    print(text, file=sys.stderr)


def _runpod(settings: FleetSettings, tags: Tags) -> RunPodProvider:
    if not settings.runpod_key.get_secret_value():
        raise ClientSettingsError("set RUNPOD_API_KEY to rent at RunPod")
    return RunPodProvider(
        settings.runpod_key,
        prefix=tags.prefix,
        url=settings.runpod_url,
        registry=settings.runpod_registry,
        clouds=settings.runpod_clouds,
    )


def _vast(settings: FleetSettings, tags: Tags) -> VastProvider:
    if not settings.vast_key.get_secret_value():
        raise ClientSettingsError("set VAST_API_KEY to rent at Vast.ai")
    return VastProvider(
        settings.vast_key,
        prefix=tags.prefix,
        url=settings.vast_url,
        image_login=settings.vast_image_login,
    )


def _launch_spec(settings: FleetSettings, farm: FleetClient) -> LaunchSpec:
    url = (settings.scheduler_url or farm.url).rstrip("/")
    env = pack_ca(settings.ca_file, setting="TRACKFARM_FLEET_CA_FILE") if settings.ca_file else {}
    return LaunchSpec(
        scheduler_url=url,
        image=settings.image,
        disk_gb=settings.disk_gb,
        env=env,
        start_command=_provisioning(farm, url) if settings.start == "provision" else tuple,
    )


def _provisioning(farm: FleetClient, url: str) -> Callable[[], tuple[str, ...]]:
    """Return a function for the start command. It is called for each new machine: existing machines
    can be managed without a bundle."""

    def command() -> tuple[str, ...]:
        """Return the command. Raises ClientSettingsError if the scheduler has no bundle, or if
        machines would send it their token unencrypted."""
        if http_url_problem(url, setting="", insecure=""):
            raise ClientSettingsError(
                f"machines would send their token unencrypted to {url}: set"
                " TRACKFARM_FLEET_SCHEDULER_URL to an https:// address"
            )
        try:
            return start_command(url, farm.bundle().sha256)
        except RequestRefused as error:
            raise ClientSettingsError(f"TRACKFARM_FLEET_START=provision: {error}") from error

    return command


def known_prices() -> Prices:
    """Load the price table, overridden by the operator's own. Raises ClientSettingsError."""
    try:
        return load_prices(os.environ)
    except PricesError as error:
        raise ClientSettingsError(str(error)) from error
