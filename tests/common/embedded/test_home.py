"""The home directory: one farm at a time, its secrets, its address."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trackfarm.embedded.home import Home, HomeInUse, lock_home
from trackfarm.settings import ClientSettingsError, FarmAddress, find_farm, write_address


@pytest.fixture
def home(tmp_path: Path) -> Home:
    directory = Home(tmp_path / "home")
    directory.create()
    return directory


def test_lock_home_names_the_farm_that_has_it(home: Home) -> None:
    with lock_home(home):
        write_address(home.root, FarmAddress("http://127.0.0.1:8700", "key", os.getpid()))
        with pytest.raises(HomeInUse, match=rf"pid {os.getpid()}, http://127\.0\.0\.1:8700"):
            lock_home(home).__enter__()


def test_lock_home_leaves_no_file_and_is_released(home: Home) -> None:
    before = sorted(home.root.iterdir())
    with lock_home(home):
        assert sorted(home.root.iterdir()) == before
    with lock_home(home):
        pass


def test_lock_home_is_kept_by_a_surviving_child(home: Home) -> None:
    with lock_home(home) as lock:
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,)
        )
    try:
        with pytest.raises(HomeInUse, match="starting or stopping"):
            lock_home(home, ending_seconds=0).__enter__()
    finally:
        child.communicate(b"\n")
    with lock_home(home):
        pass


def test_secrets_are_generated_once_and_private(home: Home) -> None:
    first = home.secrets()
    assert home.secrets() == first
    assert len({first.api_key, first.join_token, first.signing_secret}) == 3
    assert (home.root / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert home.root.stat().st_mode & 0o777 == 0o700
    assert first.api_key not in repr(first)


def test_find_farm_prefers_the_environment_to_the_home(home: Home) -> None:
    write_address(home.root, FarmAddress("http://127.0.0.1:1", "key-of-home", 7))
    environ = {"TRACKFARM_HOME": str(home.root)}
    assert find_farm(environ) == FarmAddress("http://127.0.0.1:1", "key-of-home", 7)
    remote = {"TRACKFARM_URL": "https://farm.example/", "TRACKFARM_API_KEY": "key"}
    assert find_farm(environ | remote) == FarmAddress("https://farm.example", "key")


def test_find_farm_names_a_broken_farm_file(home: Home) -> None:
    (home.root / "farm.json").write_text("{}")
    with pytest.raises(ClientSettingsError, match=r"farm\.json"):
        find_farm({"TRACKFARM_HOME": str(home.root)})
