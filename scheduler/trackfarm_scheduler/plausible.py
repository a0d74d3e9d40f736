"""What a report may say at all, pure: a worker is somebody else's computer.

A result out of these bounds is no honest mistake. Times are only clipped: they cost money and teach
the cost model, but a clock that jumped makes no track bad.
"""

from dataclasses import dataclass

from trackfarm.catalog.music import AudioFormat
from trackfarm.wire import Timings, TrackDone

LENGTH_SLACK = 1.5  # seconds: a source may differ by 1 s from its brief, the rest is rounding
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
class Bounds:
    """`most_bytes` of one object; `digest_share`: which share of objects is read whole and compared
    with its SHA-256; `engine_share`: engine seconds that a worker may report for each second it has
    had the lease, and `slack` seconds on top, since a short track may be made within a tick."""

    most_bytes: int = 512 * 2**20
    digest_share: float = 0.02
    engine_share: float = 1.2
    slack: float = 1.0

    def allowed(self, wall: float) -> float:
        """Seconds that may be reported of a lease held for `wall` seconds."""
        return self.engine_share * wall + self.slack


@dataclass(frozen=True, slots=True)
class Ordered:
    """What the brief asks for: `seconds` of audio in a format."""

    seconds: float
    audio_format: AudioFormat


def implausible(done: TrackDone, ordered: Ordered) -> str | None:
    """Why this cannot be the track that was asked for, or None."""
    found = done.measurements
    if abs(found.seconds - ordered.seconds) > LENGTH_SLACK:
        return f"it has {found.seconds:g} s of audio, and {ordered.seconds:g} s were asked for"
    if found.sample_rate not in _RATES[ordered.audio_format]:
        return f"{ordered.audio_format} cannot have {found.sample_rate} samples a second"
    if found.channels > CHANNELS:
        return f"it has {found.channels} channels"
    least, most = _size_range(ordered.audio_format, found.seconds, found.sample_rate)
    if not least <= done.size <= most:
        return f"{found.seconds:g} s of {ordered.audio_format} cannot have {done.size} bytes"
    return None


def _size_range(audio_format: AudioFormat, seconds: float, rate: int) -> tuple[float, float]:
    """Least and most bytes. Rates of MP3 are those of MPEG layer III (8 to 320 kbit/s), Opus has 510
    kbit/s at most; silence takes next to nothing in FLAC and Opus."""
    match audio_format:
        case "mp3":
            least, most = 1_000.0, 40_000.0
        case "opus":
            least, most = 0.0, 64_000.0
        case "wav":
            least, most = 2.0 * rate, 4.0 * rate * CHANNELS
        case "flac":
            least, most = 0.0, 4.0 * rate * CHANNELS
    return least * seconds, most * seconds + CONTAINER_BYTES


def engine_seconds(timings: Timings) -> float:
    """What the engine is said to have spent on a track."""
    return max(timings.service, timings.device)


def share_believed(claimed: float, *, wall: float, before: float, bounds: Bounds) -> float:
    """Which share (0 to 1) of the engine seconds `claimed` now is believed, of a lease that was
    claimed `wall` seconds ago and for which `before` have been claimed already."""
    allowed = max(0.0, bounds.allowed(wall) - before)
    return 1.0 if claimed <= allowed else allowed / claimed


def clipped(timings: Timings, *, share: float, wall: float, bounds: Bounds) -> Timings:
    """The timings with the engine's stages cut to `share`, and the others to the lease's time."""
    most = bounds.allowed(wall)
    engine = {
        name: getattr(timings, name) * share
        for name in ("service", "condition", "compose", "denoise", "decode")
    }
    others = {name: min(getattr(timings, name), most) for name in ("fetch", "encode", "upload")}
    return Timings(**engine, **others)
