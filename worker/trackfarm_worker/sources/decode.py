"""Decode an untrusted file to the engine's format: float32 stereo at 48 kHz.

Only the source process does this, under its limits. ffmpeg's libraries (PyAV) read only the formats
of `FORMATS` and open nothing by themselves: a playlist that names other files or addresses is not
among them.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Self

import av
import numpy as np
import soxr
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError
from numpy.lib import format as npy
from numpy.typing import NDArray

from trackfarm_worker.sources.protocol import PreparedSource, SourceLimits, SourceRefused

RATE = 48_000
RATES = range(8_000, 192_001)
FORMATS = "wav,w64,aiff,flac,mp3,ogg,aac,mov"  # mov includes .m4a
OPEN_OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "none", "enable_drefs": "0"}
CODECS = frozenset({"flac", "mp3", "mp3float", "vorbis", "opus", "libopus", "aac", "alac"})
DECLARE_LENGTH = frozenset({"wav", "w64", "aiff", "flac", "mov,mp4,m4a,3gp,3g2,mj2"})
TRUNCATED_SHARE = 0.98
SILENCE_DBFS = -60.0  # the engine's threshold for silence
LOUDEST_DBFS = 20.0  # integers written as floats are 90 dB over full scale
MAX_BAD_PACKETS = 8  # a stray byte between two frames is no reason to refuse a file
UNKNOWN_LENGTHS = (0, 0xFFFF_FFFF)  # written by programs that could not seek back to the header


class UndecodableSource(Exception):
    """The file cannot be used; the message says why."""


def decode(path: Path, target: Path, limits: SourceLimits) -> PreparedSource | SourceRefused:
    """Write the audio of `path` to `target`, `.npy` of shape (frames, 2).

    Mono is copied to both channels; more than two channels are refused, because a program cannot
    know which of them hold the music. Raises OSError when `target` cannot be written, and
    MemoryError.
    """
    try:
        if missing := _missing_bytes(path):
            return SourceRefused(f"it is truncated: {missing:,} bytes of its data are missing")
        with path.open("rb") as file, _open_container(file) as container:
            return _decode_into(container, target, limits)
    except UndecodableSource as error:
        return SourceRefused(str(error))
    except FFmpegError as error:
        return SourceRefused(f"it cannot be decoded: {error.strerror}")


class SampleFile:
    """Writer of a float32 `.npy` file of shape (frames, 2) for a length that is not known yet. It
    appears under its name only after `finish`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f"{path.name}.part")
        self.frames = 0

    def __enter__(self) -> Self:
        self._file = self._partial.open("wb")
        self._write_header()
        self._data_at = self._file.tell()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._partial.unlink(missing_ok=True)

    def write(self, block: NDArray[np.float32]) -> None:
        """Append (n, 2) samples."""
        self._file.write(np.ascontiguousarray(block, dtype="<f4").data)
        self.frames += len(block)

    def finish(self) -> None:
        # numpy pads the header so that the first axis can grow: its length does not change.
        self._file.seek(0)
        self._write_header()
        assert self._file.tell() == self._data_at, "the length of the header has not changed"
        self._file.close()
        self._partial.replace(self._path)

    def _write_header(self) -> None:
        header = {"descr": "<f4", "fortran_order": False, "shape": (self.frames, 2)}
        npy.write_array_header_1_0(self._file, header)


def _open_container(file: BinaryIO) -> InputContainer:
    try:
        return av.open(file, "r", options=OPEN_OPTIONS, metadata_errors="replace")
    except FFmpegError:
        formats = "WAV, AIFF, FLAC, MP3, Ogg, Opus, AAC and M4A"
        raise UndecodableSource(f"it is not an audio file; supported are {formats}") from None


def _decode_into(container: InputContainer, target: Path, limits: SourceLimits) -> PreparedSource:
    stream = _audio_stream(container)
    declared = _declared_seconds(container, stream)
    if declared is not None and declared > limits.audio_seconds:
        raise UndecodableSource(_too_long(f"{declared:,.1f} s", limits))
    checks = _SampleChecks(stream.rate, limits)
    with SampleFile(target) as out:
        resampler = soxr.ResampleStream(stream.rate, RATE, 2, dtype="float32", quality="VHQ")
        for block in _blocks(container, stream):
            checks.add(block)
            out.write(_resampled(resampler, block))
        out.write(_resampled(resampler, np.empty((0, 2), np.float32), last=True))
        checks.finish(declared if container.format.name in DECLARE_LENGTH else None)
        out.finish()
    return PreparedSource(target, out.frames)


def _audio_stream(container: InputContainer) -> AudioStream:
    """Return the first audio stream. Raises UndecodableSource if its codec, channels or rate are not
    supported."""
    if not container.streams.audio:
        raise UndecodableSource("it contains no audio stream")
    stream = container.streams.audio[0]
    name = stream.codec_context.name
    if name not in CODECS and not name.startswith("pcm_"):
        raise UndecodableSource(f"its codec {name} is not supported")
    if stream.channels not in (1, 2):
        raise UndecodableSource(
            f"it has {stream.channels} channels; only mono and stereo are supported"
        )
    if stream.rate not in RATES:
        raise UndecodableSource(
            f"its sample rate is {stream.rate:,} Hz; supported are {RATES[0]:,} to {RATES[-1]:,} Hz"
        )
    return stream


def _declared_seconds(container: InputContainer, stream: AudioStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / av.time_base


def _blocks(container: InputContainer, stream: AudioStream) -> Iterator[NDArray[np.float32]]:
    """Yield the samples at the file's own rate, as float32 (frames, 2)."""
    rate, channels = stream.rate, stream.channels
    as_float = av.AudioResampler(format="flt", layout=stream.layout, rate=rate)
    for frame in _frames(container, stream):
        if (frame.sample_rate, frame.layout.nb_channels) != (rate, channels):
            raise UndecodableSource("its sample rate or channel count changes within the file")
        for converted in as_float.resample(frame):
            samples = np.asarray(converted.to_ndarray(), dtype=np.float32).reshape(-1, channels)
            yield np.repeat(samples, 2, axis=1) if channels == 1 else samples


def _frames(container: InputContainer, stream: AudioStream) -> Iterator[av.AudioFrame]:
    bad_packets = 0
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except InvalidDataError:
            bad_packets += 1
            if bad_packets > MAX_BAD_PACKETS:
                raise UndecodableSource("it is damaged") from None


def _resampled(
    resampler: soxr.ResampleStream, block: NDArray[np.float32], *, last: bool = False
) -> NDArray[np.float32]:
    return np.asarray(resampler.resample_chunk(block, last=last), dtype=np.float32)


class _SampleChecks:
    """Running statistics of the samples. Raises UndecodableSource as soon as they are
    unusable."""

    def __init__(self, rate: int, limits: SourceLimits) -> None:
        self._rate = rate
        self._limits = limits
        self._frames = 0
        self._peak = 0.0

    def add(self, block: NDArray[np.float32]) -> None:
        self._frames += len(block)
        if self._frames > self._limits.audio_seconds * self._rate:
            raise UndecodableSource(
                _too_long(f"more than {self._limits.audio_seconds:g} s", self._limits)
            )
        if not np.isfinite(block).all():
            raise UndecodableSource("it has samples that are NaN or infinite")
        self._peak = max(self._peak, float(np.max(np.abs(block), initial=0.0)))

    def finish(self, declared_seconds: float | None) -> None:
        seconds = self._frames / self._rate
        if not self._frames:
            raise UndecodableSource("it contains no samples")
        if declared_seconds is not None and seconds < declared_seconds * TRUNCATED_SHARE - 0.1:
            raise UndecodableSource(
                f"it is truncated: only {seconds:,.1f} s of {declared_seconds:,.1f} s are present"
            )
        level = 20 * float(np.log10(max(self._peak, 1e-10)))
        if level < SILENCE_DBFS:
            raise UndecodableSource(
                f"it is silent: its peak is {level:.0f} dBFS, below {SILENCE_DBFS:.0f}"
            )
        if level > LOUDEST_DBFS:
            raise UndecodableSource(
                f"its float samples are out of range: the peak is {level:+.0f} dBFS"
            )


def _too_long(length: str, limits: SourceLimits) -> str:
    return f"it is {length} long; the maximum is {limits.audio_seconds:g} s"


def _missing_bytes(path: Path) -> int:
    """Return how many bytes the data chunk of a WAV file claims beyond the end of the file; 0 for
    any other file. ffmpeg plays a truncated one as far as it goes."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return 0
        while len(chunk := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", chunk)
            if name == b"data":
                return 0 if length in UNKNOWN_LENGTHS else max(0, file.tell() + length - size)
            file.seek(length + length % 2, 1)
    return 0
