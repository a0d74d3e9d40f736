"""The environment of a rented machine's workers: how they reach and join the scheduler."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr

_PREFIX = "TRACKFARM_WORKER_"
TAG_VARIABLE = f"{_PREFIX}RENTAL_TAG"


@dataclass(frozen=True, slots=True)
class WorkerInvitation:
    """Permission to join. `join_token` only lets a worker register; the scheduler then issues its
    other credentials."""

    scheduler_url: str
    join_token: SecretStr
    model_set: str
    device: str = "cuda"

    def env(
        self, *, tag: str, provider: str, price_per_hour: float, cards: int = 1
    ) -> Mapping[str, str]:
        """Return the settings that are not secret for the machine's workers, one worker per GPU
        (`cards`); `price_per_hour` in $ per GPU."""
        settings = {
            "SCHEDULER_URL": self.scheduler_url,
            "MODEL_SET": self.model_set,
            "DEVICE": self.device,
            "PROVIDER": provider,
            "RENTAL_TAG": tag,
            "NAME": tag,
            "CARDS": str(cards),
            "PRICE_PER_HOUR": f"{price_per_hour:.6f}",
        }
        return {_PREFIX + name: value for name, value in settings.items()}

    def secrets(self) -> Mapping[str, SecretStr]:
        return {f"{_PREFIX}JOIN_TOKEN": self.join_token}
