"""The worker's settings accept the environment of an invitation."""

import pytest
from pydantic import SecretStr

from trackfarm_fleet.providers.worker_env import TAG_VARIABLE, WorkerInvitation
from trackfarm_worker.settings import WorkerSettings


def test_worker_settings_accept_the_environment_of_an_invitation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    invitation = WorkerInvitation("https://farm.example", SecretStr("join-me"), "acestep-v15-turbo")
    env = invitation.env(tag="tf-a-0", provider="vast", price_per_hour=0.34)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    for name, secret in invitation.secrets().items():
        monkeypatch.setenv(name, secret.get_secret_value())
    settings = WorkerSettings()
    assert settings.scheduler_url == "https://farm.example"
    assert settings.join_token.get_secret_value() == "join-me"
    assert settings.model_set == "acestep-v15-turbo"
    assert (settings.device, settings.provider) == ("cuda", "vast")
    assert (settings.rental_tag, settings.price_per_hour) == ("tf-a-0", 0.34)
    assert env[TAG_VARIABLE] == "tf-a-0"
    assert "join-me" not in repr(invitation)
