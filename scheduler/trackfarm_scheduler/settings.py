"""Everything the scheduler can be told, from the environment, read once at start."""

from functools import cached_property
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from trackfarm import logs
from trackfarm_scheduler.plausible import Bounds
from trackfarm_scheduler.retention import Keep


class SchedulerSettings(BaseSettings):
    """Each field is `TRACKFARM_SCHEDULER_<NAME>`. Times in seconds."""

    model_config = SettingsConfigDict(env_prefix="TRACKFARM_SCHEDULER_", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8700, ge=1, le=65_535)
    public_url: str = ""
    database_url: SecretStr = SecretStr("sqlite:///trackfarm.db")
    broker_url: SecretStr
    objects_url: str
    objects_access_key: SecretStr = SecretStr("")
    objects_secret_key: SecretStr = SecretStr("")
    objects_region: str = "us-east-1"
    objects_external_url: str = ""
    api_key: SecretStr = Field(min_length=16)
    join_token: SecretStr = Field(min_length=16)
    signing_secret: SecretStr = Field(min_length=16)
    url_ttl_seconds: float = Field(default=900, ge=1, le=604_800)
    most_object_bytes: int = Field(default=Bounds().most_bytes, gt=0)
    digest_share: float = Field(default=Bounds().digest_share, ge=0, le=1)
    engine_share: float = Field(default=Bounds().engine_share, ge=1)
    sweep_margin_seconds: float = Field(default=60, ge=0)
    sweep_seconds: float = Field(default=10, gt=0)
    keep_uploads_seconds: float = Field(default=86_400, ge=0)
    keep_events_seconds: float = Field(default=90 * 86_400, ge=0)
    heartbeat_seconds: float = Field(default=5, gt=0, le=30)
    lost_after_seconds: float = Field(default=10, gt=1)
    claim_within_seconds: float = Field(default=5, gt=0)
    shard_seconds: float = Field(default=60, gt=0)
    tick_seconds: float = Field(default=0.25, gt=0, le=5)
    leader_term_seconds: float = Field(default=4, gt=0.5)
    reserved: dict[str, int] = Field(default_factory=dict)
    log_format: str = Field(default="console", pattern="^(console|json)$")
    log_level: logs.Level = "info"

    @model_validator(mode="after")
    def _heartbeats_fit(self) -> Self:
        if self.lost_after_seconds < 2 * self.heartbeat_seconds:
            raise ValueError("lost_after_seconds must be at least twice heartbeat_seconds")
        return self

    @property
    def bounds(self) -> Bounds:
        """What reports may say."""
        return Bounds(self.most_object_bytes, self.digest_share, self.engine_share)

    @property
    def keep(self) -> Keep:
        """How long what is kept."""
        urls = self.url_ttl_seconds + self.sweep_margin_seconds
        return Keep(self.keep_uploads_seconds, self.keep_events_seconds, urls)

    @cached_property
    def own_url(self) -> str:
        """What workers and browsers reach us at."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")
