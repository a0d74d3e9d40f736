"""Hearing of exported tracks: the request of each, from the manifest, and its sound."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from trackfarm.demo_words import demo_words, played_genre
from trackfarm_demo.hearing import SoundAnalysis, hear
from trackfarm_demo.music_theory import octave_error, parse_key

MANIFEST = "manifest.csv"
TEMPO_TOLERANCE = 0.02


class NoTracks(ValueError):
    """The folder has no exported tracks."""


@dataclass(frozen=True, slots=True)
class HeardTrack:
    """An exported track. `bpm` and `key` are the request, or the genre's usual ones."""

    file: str
    genre: str
    bpm: float
    key: str
    heard: SoundAnalysis

    @property
    def is_tempo_right(self) -> bool:
        return octave_error(self.heard.bpm, self.bpm) < TEMPO_TOLERANCE

    @property
    def is_key_right(self) -> bool:
        return parse_key(self.key) in self.heard.keys

    @property
    def is_genre_right(self) -> bool:
        return self.heard.genre == self.genre


def heard_tracks(folder: Path) -> Iterator[HeardTrack]:
    """Yield the tracks of a folder that `trackfarm export` or `up --export` wrote, heard.

    Raises NoTracks if there is no manifest, or none of its files.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise NoTracks(f"{folder} has no {MANIFEST}; export a job with `trackfarm export`")
    with manifest.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if (folder / row["file"]).is_file()]
    if not rows:
        raise NoTracks(f"{manifest} names no file that is in {folder}")
    for row in rows:
        genre = played_genre(row["prompt"])
        usual = demo_words().genres[genre]
        audio, rate = decode(folder / row["file"])
        yield HeardTrack(
            file=row["file"],
            genre=genre,
            bpm=float(row["bpm"] or usual.bpm),
            key=row["key_scale"] or usual.key,
            heard=hear(audio, rate),
        )


def decode(path: Path) -> tuple[NDArray[np.float32], int]:
    """Return the samples (samples, channels), -1 to 1, and the sample rate of an audio file."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
        frames = [*container.decode(stream), None]
        parts = [part.to_ndarray() for frame in frames for part in resampler.resample(frame)]
    return np.concatenate(parts, axis=1).T.astype(np.float32), int(stream.rate)


def listening_table(tracks: list[HeardTrack]) -> Table:
    """Return the request and the sound of each track; a sound that differs is red."""
    table = Table(title="asked and heard", caption=_caption(tracks), caption_justify="left")
    for column in ("file", "genre", "heard", "bpm", "heard", "key", "heard", "in scale"):
        table.add_column(column, justify="right" if column in {"bpm", "in scale"} else "left")
    for track in tracks:
        heard = track.heard
        table.add_row(
            track.file,
            track.genre,
            _marked(heard.genre, is_right=track.is_genre_right),
            f"{track.bpm:g}",
            _marked(f"{heard.bpm:.1f}", is_right=track.is_tempo_right),
            track.key,
            _marked(heard.key_name, is_right=track.is_key_right),
            f"{heard.in_scale(parse_key(track.key)):.0%}",
        )
    return table


def _marked(text: str, *, is_right: bool) -> str:
    return text if is_right else f"[red]{text}[/red]"


def _caption(tracks: list[HeardTrack]) -> str:
    count = len(tracks)
    return (
        f"right, of {count}: tempo {sum(t.is_tempo_right for t in tracks)} (or an octave of it),"
        f" key {sum(t.is_key_right for t in tracks)} (or its relative),"
        f" genre {sum(t.is_genre_right for t in tracks)}"
    )
