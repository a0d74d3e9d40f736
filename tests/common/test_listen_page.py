"""The page of players beside exported files, as parsed text and in a browser."""

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.common.fake_farm.state import FarmState, make_ended_job
from tests.servers.presence import require
from trackfarm.listen_page import page_entry, page_head, page_tail
from trackfarm.protocol.operator import TrackInfo

PLAYERS = 3_000
HOSTILE = "<script>alert(1)</script>\"'&\x1b[31m"


def track(**changes: Any) -> TrackInfo:
    state = FarmState()
    job = state.add_job(make_ended_job(), [b"audio"])
    return state.tracks[job.id][0].model_copy(update=changes)


def page(*tracks: TrackInfo, catalog: str = "hotel", left_out: int = 0) -> str:
    entries = [page_entry(one, f"{one.ordinal:05d}-lobby {one.ordinal}.wav") for one in tracks]
    return "".join([page_head(make_ended_job(catalog=catalog)), *entries, page_tail(left_out)])


class Elements(HTMLParser):
    """Names and attributes of a page's elements, and its text outside of the style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] != "style" and data.strip():
            self.text.append(data.strip())

    def named(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag == name]


def test_page_has_a_player_and_the_brief_of_each_track() -> None:
    elements = Elements(page(track(title="Bossa at dusk"), track(ordinal=2, name="spa & co")))
    first, second = elements.named("audio")
    assert (first["preload"], "controls" in first) == ("none", True)
    assert [unquote(str(audio["src"])) for audio in (first, second)] == [
        "00001-lobby 1.wav",
        "00002-lobby 2.wav",
    ]
    assert "Bossa at dusk" in elements.text
    assert "spa & co" in elements.text, "without a title, the name is shown"
    assert "90 bpm · F major · 0:10 · zone: lobby" in elements.text
    assert "calm [piano]" in elements.text


def test_page_leaves_out_unknown_facts() -> None:
    bare = track(bpm=None, key_scale=None, tags={}, name="", artifact=None, duration=125.0)
    text = Elements(page(bare)).text
    assert "2:05" in text
    assert text.count("calm [piano]") == 2, "the prompt is the title as well"


def test_page_escapes_everything_from_outside() -> None:
    hostile = track(
        title=HOSTILE, name=HOSTILE, prompt=HOSTILE, key_scale=HOSTILE, tags={HOSTILE: HOSTILE}
    )
    text = "".join(
        [
            page_head(make_ended_job(catalog=HOSTILE)),
            page_entry(hostile, 'a"onplay="alert(1).wav'),
            page_entry(track(title="", name="", prompt=HOSTILE), "javascript:alert(1).wav"),
        ]
    )
    elements = Elements(text)
    plain = Elements(page(track(), track()))
    assert [tag for tag, _ in elements.found] == [tag for tag, _ in plain.found]
    assert [set(attributes) for _, attributes in elements.found] == [
        set(attributes) for _, attributes in plain.found
    ]
    assert "\x1b" not in text
    assert elements.named("audio")[1]["src"] == "javascript%3Aalert%281%29.wav"


def test_page_loads_nothing_but_the_audio_beside_it() -> None:
    text = page(*[track(ordinal=number) for number in range(1, 4)])
    assert "http:" not in text
    assert "https:" not in text
    (policy,) = [m for m in Elements(text).named("meta") if "http-equiv" in m]
    assert str(policy["content"]).startswith("default-src 'none'; media-src 'self' file:;")


def test_page_says_what_made_the_tracks() -> None:
    text = Elements(page(track())).text
    assert "3 tracks by tiny, job_aaaa0001" in text
    assert any("random weights" in part for part in text)


@pytest.mark.parametrize(
    ("left_out", "words"), [(1, "1 more track "), (2_000, "2,000 more tracks ")]
)
def test_page_says_how_many_tracks_it_leaves_out(left_out: int, words: str) -> None:
    assert "more track" not in page(track())
    assert words in page(track(), left_out=left_out)


def test_page_of_thousands_plays_and_runs_no_script_in_a_browser(tmp_path: Path) -> None:
    browser = require(shutil.which("chromium"), "chromium")
    shutil.copy(Path("examples/audio/harp.opus"), tmp_path / "00001-lobby 1.wav")
    tracks = [track(ordinal=n, title=f"{HOSTILE} {n}") for n in range(1, PLAYERS + 1)]
    (tmp_path / "listen.html").write_text(page(*tracks), "utf-8")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    address = (tmp_path / "listen.html").as_uri()
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    drawn = subprocess.run(
        [browser, *options, profile, "--virtual-time-budget=4000", "--dump-dom", address],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert drawn.stdout.count("<audio") == PLAYERS
    assert "<script" not in drawn.stdout
    assert "CONSOLE" not in drawn.stderr, "the page does nothing that its own policy refuses"
