import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from rich.console import Console

from trackfarm_demo.composition import Piece, compose
from trackfarm_demo.latents import SAMPLE_RATE
from trackfarm_demo.listening import NoTracks, decode, heard_tracks, listening_table
from trackfarm_demo.music_theory import Key, tempo_index
from trackfarm_worker.models import demo

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
COLUMNS = ("file", "prompt", "bpm", "key_scale")


def write_manifest(folder: Path, *rows: tuple[str, str, str, str]) -> None:
    with (folder / "manifest.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])


@pytest.fixture(scope="module")
def vae() -> Any:
    return demo.build().vae


def write_piece(vae: Any, path: Path, piece: Piece) -> None:
    latents = compose(np.random.default_rng(3), piece, 0, 250)
    with torch.inference_mode():
        audio = vae.decode(torch.from_numpy(latents.T[None].copy())).sample[0].T.numpy()
    soundfile.write(path, audio / np.abs(audio).max() * 0.891, SAMPLE_RATE)


def test_tracks_are_heard_beside_their_requests(tmp_path: Path, vae: Any) -> None:
    write_piece(vae, tmp_path / "a.flac", Piece("house", tempo_index(120), Key(9, 1)))
    write_piece(vae, tmp_path / "b.wav", Piece("jazz", tempo_index(90), Key(5, 0)))
    write_manifest(
        tmp_path,
        ("a.flac", "deep house for a shop", "120", "A minor"),
        ("gone.flac", "pop", "100", "C major"),
        ("b.wav", "smooth jazz", "", ""),  # the genre's usual tempo and key
    )
    tracks = list(heard_tracks(tmp_path))
    assert [(t.file, t.genre, t.bpm, t.key) for t in tracks] == [
        ("a.flac", "house", 120, "A minor"),
        ("b.wav", "jazz", 90, "F major"),
    ]
    assert all(t.is_tempo_right and t.is_key_right and t.is_genre_right for t in tracks)


def test_track_that_is_not_as_asked_is_told(tmp_path: Path, vae: Any) -> None:
    write_piece(vae, tmp_path / "a.flac", Piece("spa", tempo_index(75), Key(0, 0)))
    write_manifest(tmp_path, ("a.flac", "funk", "110", "F# major"))
    (track,) = heard_tracks(tmp_path)
    assert not (track.is_tempo_right)
    assert not (track.is_key_right)
    assert not (track.is_genre_right)
    console = Console(width=160, file=(output := io.StringIO()))
    console.print(listening_table([track]))
    text = output.getvalue()
    assert "a.flac" in text
    assert "right, of 1: tempo 0 (or an octave of it), key 0 (or its relative), genre 0" in text


def test_decode_returns_the_samples_of_a_file(tmp_path: Path) -> None:
    samples = (np.random.default_rng(1).uniform(-0.5, 0.5, (5_000, 2))).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 44_100, subtype="FLOAT")
    decoded, rate = decode(tmp_path / "a.wav")
    assert rate == 44_100
    assert np.array_equal(decoded, samples)


@pytest.mark.parametrize("has_manifest", [True, False])
def test_folder_without_tracks_is_an_error(tmp_path: Path, *, has_manifest: bool) -> None:
    if has_manifest:
        write_manifest(tmp_path, ("gone.flac", "pop", "100", "C major"))
    with pytest.raises(NoTracks, match=r"manifest\.csv"):
        list(heard_tracks(tmp_path))
