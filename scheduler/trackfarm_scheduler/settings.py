"""Settings of the scheduler, read from the environment once at start."""

from functools import cached_property
from pathlib import Path
from typing import Self

from pydantic import Field, IPvAnyNetwork, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from trackfarm import logs
from trackfarm.model_sets import model_sets
from trackfarm_scheduler.policy.retention import RetentionSeconds
from trackfarm_scheduler.policy.validation import PlausibleBounds

SHORTEST_TOKEN = 16


class SchedulerSettings(BaseSettings):
    """Scheduler settings. Each field is `TRACKFARM_SCHEDULER_<NAME>`. Times in seconds; `ca_file`,
    `tls_certificate` and `tls_key` are PEM files, `bundle` is the output of
    `deploy/provision/bundle`. `exposure` finds contradictory and unsafe values."""

    model_config = SettingsConfigDict(env_prefix="TRACKFARM_SCHEDULER_", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8700, ge=1, le=65_535)
    public_url: str = ""
    database_url: SecretStr = SecretStr("sqlite:///trackfarm.db")
    broker_url: SecretStr
    broker_external_url: str = ""
    objects_url: str
    objects_access_key: SecretStr = SecretStr("")
    objects_secret_key: SecretStr = SecretStr("")
    objects_region: str = "us-east-1"
    objects_external_url: str = ""
    api_key: SecretStr = Field(min_length=16)
    join_token: SecretStr = SecretStr("")
    signing_secret: SecretStr = Field(min_length=16)
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    behind_tls_proxy: bool = False
    ca_file: Path | None = None
    insecure: bool = False
    bundle: Path | None = None
    url_ttl_seconds: float = Field(default=900, ge=1, le=604_800)
    most_object_bytes: int = Field(default=PlausibleBounds().most_bytes, gt=0)
    digest_share: float = Field(default=PlausibleBounds().digest_share, ge=0, le=1)
    engine_share: float = Field(default=PlausibleBounds().engine_share, ge=1)
    sweep_margin_seconds: float = Field(default=60, ge=0)
    sweep_seconds: float = Field(default=10, gt=0)
    keep_uploads_seconds: float = Field(default=86_400, ge=0)
    keep_events_seconds: float = Field(default=90 * 86_400, ge=0)
    keep_calls_seconds: float = Field(default=86_400, ge=0)
    most_calls: int = Field(default=10_000, ge=1)
    default_model: str = ""
    heartbeat_seconds: float = Field(default=5, gt=0, le=30)
    lost_after_seconds: float = Field(default=10, gt=1)
    claim_within_seconds: float = Field(default=5, gt=0)
    shard_seconds: float = Field(default=60, gt=0)
    tick_seconds: float = Field(default=0.25, gt=0, le=5)
    leader_lease_seconds: float = Field(default=4, gt=0.5)
    worker_rate: int = Field(default=6_000, ge=1)
    guess_rate: int = Field(default=60, ge=1)
    submission_bytes: int = Field(default=4 * 2**30, ge=1)
    head_seconds: float = Field(default=10, gt=0)
    body_seconds: float = Field(default=30, gt=0)
    most_streams: int = Field(default=100, ge=1)
    webhook_networks: tuple[IPvAnyNetwork, ...] = ()
    webhook_ports: tuple[int, ...] = (443, 8443)
    webhook_give_up_seconds: float = Field(default=3 * 86_400, gt=0)
    reserved: dict[str, int] = Field(default_factory=dict)
    log_format: str = Field(default="console", pattern="^(console|json)$")
    log_level: logs.Level = "info"

    @model_validator(mode="after")
    def _heartbeats_fit(self) -> Self:
        if self.lost_after_seconds < 2 * self.heartbeat_seconds:
            raise ValueError("lost_after_seconds must be at least twice heartbeat_seconds")
        return self

    @field_validator("join_token")
    @classmethod
    def _long_or_off(cls, token: SecretStr) -> SecretStr:
        if 0 < len(token) < SHORTEST_TOKEN:
            raise ValueError(
                f"needs at least {SHORTEST_TOKEN} characters, or leave it empty to allow invitations only"
            )
        return token

    @field_validator("default_model")
    @classmethod
    def _known_or_none(cls, name: str) -> str:
        if name and name not in model_sets():
            raise ValueError(f"no such model set; choose one of: {', '.join(model_sets())}")
        return name

    @property
    def bounds(self) -> PlausibleBounds:
        """Limits for worker reports."""
        return PlausibleBounds(self.most_object_bytes, self.digest_share, self.engine_share)

    @property
    def retention(self) -> RetentionSeconds:
        """Retention periods."""
        urls = self.url_ttl_seconds + self.sweep_margin_seconds
        return RetentionSeconds(
            uploads=self.keep_uploads_seconds,
            events=self.keep_events_seconds,
            urls=urls,
            calls=self.keep_calls_seconds,
        )

    @cached_property
    def own_url(self) -> str:
        """URL of this scheduler for workers and browsers, without a trailing slash."""
        scheme = "https" if self.tls_certificate else "http"
        return (self.public_url or f"{scheme}://{self.host}:{self.port}").rstrip("/")
