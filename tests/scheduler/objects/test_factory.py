"""Creation of a store from settings."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from trackfarm_scheduler.objects import open_store
from trackfarm_scheduler.objects.directory import DirectoryStore

KEYS: dict[str, Any] = {"access_key": "key", "secret_key": "secret"}
DIRECTORY: dict[str, Any] = {"base_url": "http://here:8000", "signing_secret": b"0123456789abcdef"}
HOUR = timedelta(hours=1)


def url_of_a(url: str, **settings: Any) -> str:
    return open_store(url, **settings).presign_put("a", expires=HOUR).url.partition("?")[0]


def test_factory_opens_a_directory_for_a_file_url(tmp_path: Path) -> None:
    store = open_store(f"{tmp_path.as_uri()}/my%20objects", **DIRECTORY)
    assert isinstance(store, DirectoryStore)
    assert store.root == tmp_path / "my objects"
    assert url_of_a(tmp_path.as_uri(), **DIRECTORY) == "http://here:8000/objects/a"


def test_factory_opens_buckets_for_other_urls() -> None:
    assert url_of_a("https://minio.example:9000/farm", **KEYS) == (
        "https://minio.example:9000/farm/a"
    )
    assert url_of_a("http://10.0.0.1/farm/", **KEYS) == "http://10.0.0.1/farm/a"
    amazon = url_of_a("s3://farm", region="eu-central-1", **KEYS)
    assert amazon.startswith("https://farm.s3.")
    assert amazon.endswith("eu-central-1.amazonaws.com/a")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "farm",
        "ftp://host/farm",
        "s3://",
        "s3://farm/prefix",
        "http://host",
        "http://host/farm/prefix",
        "file://host/path",
        "file:relative",
        "file:///",
        "s3://farm?region=x",
    ],
)
def test_factory_refuses_urls_that_name_no_store(url: str) -> None:
    with pytest.raises(ValueError, match="TRACKFARM_SCHEDULER_OBJECTS_URL"):
        open_store(url, **KEYS, **DIRECTORY)


@pytest.mark.parametrize("url", ["https://key:hidden@host/farm", "s3://hidden@farm"])
def test_factory_refuses_credentials_in_a_url_and_does_not_repeat_them(url: str) -> None:
    with pytest.raises(ValueError, match="must not carry credentials") as caught:
        open_store(url, **KEYS)
    assert "hidden" not in str(caught.value)


def test_factory_names_missing_settings(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="TRACKFARM_SCHEDULER_OBJECTS_SECRET_KEY"):
        open_store("s3://farm", access_key="key")
    with pytest.raises(ValueError, match="signing secret"):
        open_store(tmp_path.as_uri(), base_url="http://here")
