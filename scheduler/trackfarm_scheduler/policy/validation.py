"""Validation of reports (pure): a worker runs on an untrusted computer.

A result outside these bounds is not an honest mistake. Times are only clipped: they cost money and
train the cost model, but a clock that jumped does not make a track bad.
"""

from dataclasses import dataclass

from trackfarm.catalog.vocabulary import AudioFormat
from trackfarm.protocol.worker import Timings, TrackDone

LENGTH_SLACK = 1.5  # seconds: a source may differ from its brief by 1 s, the rest is rounding
CONTAINER_BYTES = 2_000_000  # tags and headers; lyrics and a picture would fit
CHANNELS = 2
_MPEG_RATES = frozenset({8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000})
_RATES: dict[AudioFormat, frozenset[int]] = {
    "mp3": _MPEG_RATES,
    "opus": frozenset({8_000, 12_000, 16_000, 24_000, 48_000}),  # RFC 6716, section 2
    "wav": _MPEG_RATES | {88_200, 96_000, 176_400, 192_000},
    "flac": _MPEG_RATES | {88_200, 96_000, 176_400, 192_000},
}


@dataclass(frozen=True, slots=True)
class PlausibleBounds:
    """Limits for reports. `most_bytes`: size of one object; `digest_share`: share of objects read
    whole to compare their SHA-256; `engine_share`: engine seconds accepted per second of the lease,
    plus `slack` seconds, since a short track may be made within a tick."""

    most_bytes: int = 512 * 2**20
    digest_share: float = 0.02
    engine_share: float = 1.2
    slack: float = 1.0

    def allowed(self, wall: float) -> float:
        """Return the seconds that may be reported for a lease held for `wall` seconds."""
        return self.engine_share * wall + self.slack


@dataclass(frozen=True, slots=True)
class ExpectedAudio:
    """Audio requested by the brief: `seconds` in a format."""

    seconds: float
    audio_format: AudioFormat


def implausibility(done: TrackDone, ordered: ExpectedAudio) -> str | None:
    """Return why the result cannot be the requested track, or None."""
    measured = done.measurements
    if abs(measured.seconds - ordered.seconds) > LENGTH_SLACK:
        return f"it has {measured.seconds:g} s of audio, but {ordered.seconds:g} s were requested"
    if measured.sample_rate not in _RATES[ordered.audio_format]:
        return f"{ordered.audio_format} cannot have {measured.sample_rate} samples per second"
    if measured.channels > CHANNELS:
        return f"it has {measured.channels} channels; at most {CHANNELS} are allowed"
    smallest, largest = _size_range(ordered.audio_format, measured.seconds, measured.sample_rate)
    if not smallest <= done.size <= largest:
        return f"{measured.seconds:g} s of {ordered.audio_format} cannot have {done.size} bytes"
    return None


def _size_range(audio_format: AudioFormat, seconds: float, rate: int) -> tuple[float, float]:
    """Return least and most bytes. MP3 rates are the MPEG layer III range (8 to 320 kbit/s), Opus
    has 510 kbit/s at most; silence takes next to nothing in FLAC and Opus."""
    match audio_format:
        case "mp3":
            smallest, largest = 1_000.0, 40_000.0
        case "opus":
            smallest, largest = 0.0, 64_000.0
        case "wav":
            smallest, largest = 2.0 * rate, 4.0 * rate * CHANNELS
        case "flac":
            smallest, largest = 0.0, 4.0 * rate * CHANNELS
    return smallest * seconds, largest * seconds + CONTAINER_BYTES


def engine_seconds(timings: Timings) -> float:
    """Return the reported engine seconds of a track."""
    return max(timings.service, timings.device)


def accepted_share(claimed: float, *, wall: float, before: float, bounds: PlausibleBounds) -> float:
    """Return the share (0 to 1) of the engine seconds `claimed` that is accepted, for a lease
    claimed `wall` seconds ago with `before` seconds claimed already."""
    allowed = max(0.0, bounds.allowed(wall) - before)
    return 1.0 if claimed <= allowed else allowed / claimed


def clip_timings(
    timings: Timings, *, share: float, wall: float, bounds: PlausibleBounds
) -> Timings:
    """Return the timings with the engine's stages scaled by `share`, and the others capped at the
    lease's time."""
    max_seconds = bounds.allowed(wall)
    engine = {
        name: getattr(timings, name) * share
        for name in ("service", "condition", "compose", "denoise", "decode")
    }
    others = {
        name: min(getattr(timings, name), max_seconds) for name in ("fetch", "encode", "upload")
    }
    return Timings(**engine, **others)
