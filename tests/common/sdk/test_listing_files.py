"""The files that list an export: all three appear together on success, none after an error."""

import csv
from pathlib import Path

import pytest

from tests.common.fake_farm.state import FarmState, make_ended_job
from trackfarm.sdk import listing_files
from trackfarm.sdk.listing_files import LISTEN, MANIFEST, ListingFiles

JOB = make_ended_job()


def write(directory: Path, tracks: int) -> None:
    state = FarmState()
    state.add_job(JOB, [b"audio"] * tracks)
    with ListingFiles(directory, JOB) as listing:
        for track in state.tracks[JOB.id]:
            listing.add(track, f"{track.ordinal:05d}.wav")


def test_listing_files_have_the_same_tracks_in_the_same_order(tmp_path: Path) -> None:
    write(tmp_path, 3)
    assert {path.name for path in tmp_path.iterdir()} == {MANIFEST, "hotel.m3u", LISTEN}
    with (tmp_path / MANIFEST).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [f"0000{n}.wav" for n in (1, 2, 3)]
    assert {(row["bpm"], row["key_scale"]) for row in rows} == {("90", "F major")}
    assert (tmp_path / "hotel.m3u").read_text().splitlines()[2::2] == [
        f"0000{n}.wav" for n in (1, 2, 3)
    ]
    page = (tmp_path / LISTEN).read_text("utf-8")
    assert [page.index(f'src="0000{n}.wav"') for n in (1, 2, 3)] == sorted(
        page.index(f'src="0000{n}.wav"') for n in (1, 2, 3)
    )
    assert page.endswith("</html>\n")


def test_listing_files_keep_the_old_ones_after_an_error(tmp_path: Path) -> None:
    write(tmp_path, 1)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OSError, match="full"), ListingFiles(tmp_path, JOB):
        raise OSError("the disk is full")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_listing_files_show_players_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing_files, "MAX_PLAYERS", 2)
    write(tmp_path, 5)
    page = (tmp_path / LISTEN).read_text("utf-8")
    assert page.count("<audio") == 2
    assert "3 more tracks" in page
    with (tmp_path / MANIFEST).open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 5
