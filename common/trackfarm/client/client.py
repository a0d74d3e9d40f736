"""A blocking connection to a farm, one method per call, for the farm's own programs."""

from pathlib import Path
from typing import Self

from trackfarm.client.calls import FarmCalls
from trackfarm.client.connection import connect
from trackfarm.client.sync_driver import SyncDriver


class Client(FarmCalls[SyncDriver]):
    """A connection to the farm at `url`; a context manager. Safe to use from several threads.

    Calls that may safely run twice are retried for up to `retry_seconds`. `timeout` (seconds)
    bounds each wait for the network. `ca_file` (PEM) is trusted beside the public authorities;
    `insecure` allows http:// to other machines. The constructor raises `UnsafeAddress`, or
    `ClientSettingsError` for an invalid `ca_file`.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        retry_seconds: float = 10.0,
        timeout: float = 30.0,
        ca_file: Path | None = None,
        insecure: bool = False,
    ) -> None:
        connection = connect(
            url,
            api_key,
            retry_seconds=retry_seconds,
            timeout=timeout,
            ca_file=ca_file,
            insecure=insecure,
        )
        self.driver = SyncDriver(connection)

    @property
    def url(self) -> str:
        return self.driver.connection.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.driver.close()
