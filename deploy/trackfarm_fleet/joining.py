"""What a rented machine's worker finds in its environment: how to reach the farm, and who it is."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr

_PREFIX = "TRACKFARM_WORKER_"
TAG_VARIABLE = f"{_PREFIX}RENTAL_TAG"


@dataclass(frozen=True, slots=True)
class Invitation:
    """`join_token` only lets a worker register: what it may do then it is told there."""

    scheduler_url: str
    join_token: SecretStr
    model_set: str
    device: str = "cuda"

    def env(
        self, *, tag: str, provider: str, price_per_hour: float, cards: int = 1
    ) -> Mapping[str, str]:
        """The settings of the machine's workers that are no secret, one worker for each of its
        `cards`; `price_per_hour` in $ for a card."""
        named = {
            "SCHEDULER_URL": self.scheduler_url,
            "MODEL_SET": self.model_set,
            "DEVICE": self.device,
            "PROVIDER": provider,
            "RENTAL_TAG": tag,
            "NAME": tag,
            "CARDS": str(cards),
            "PRICE_PER_HOUR": f"{price_per_hour:.6f}",
        }
        return {_PREFIX + name: value for name, value in named.items()}

    def secrets(self) -> Mapping[str, SecretStr]:
        return {f"{_PREFIX}JOIN_TOKEN": self.join_token}
