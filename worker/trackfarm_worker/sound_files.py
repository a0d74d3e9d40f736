"""16-bit samples to a finished file, in the calling process: MP3, WAV, FLAC or Opus.

The same samples and tags give the same bytes, as long as the codecs' libraries are the same.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import av
import lameenc
import numpy as np
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from trackfarm.catalog.music import AudioFormat
from trackfarm_worker.id3 import id3
from trackfarm_worker.mp3_info import with_length
from trackfarm_worker.riff_chunks import append_chunk

MP3_BIT_RATE = 320
# 7 is LAME's fastest: 1.2 s per core and 240 s of audio, against 4.7 s for quality 2. At 320 kbit
# the bit rate, not the search for the best use of each bit, sets the quality.
MP3_QUALITY = 7
OPUS_BIT_RATE = 160_000
# Without it each file has a serial number drawn by chance and the name of the library's version.
_SAME_BYTES = {"fflags": "+bitexact"}


@dataclass(frozen=True, slots=True)
class _Codec:
    container: str
    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    bit_rate: int | None = None


_CODECS: Mapping[AudioFormat, _Codec] = {
    "wav": _Codec("wav", "pcm_s16le"),
    # 0.5 s per core and 240 s of audio; level 8 saves 0.3 % for twice the time.
    "flac": _Codec("flac", "flac", {"compression_level": "5"}),
    # 1.9 s per core and 240 s of audio; libsndfile takes 7.3 s.
    "opus": _Codec("ogg", "libopus", {"application": "audio", "vbr": "on"}, OPUS_BIT_RATE),
}


def write(
    path: Path,
    samples: NDArray[np.int16],
    sample_rate: int,
    audio_format: AudioFormat,
    tags: Mapping[str, str],
) -> None:
    """Writes `samples` (frames, 2) at `sample_rate` Hz with all `tags`; players show exactly the
    frames given. Raises ValueError for samples of another shape, or where the format cannot have
    the rate."""
    if samples.ndim != 2 or samples.shape[1] != 2:
        raise ValueError(f"samples are (frames, 2), not {samples.shape}")
    if audio_format == "mp3":
        path.write_bytes(id3(tags) + mp3(samples, sample_rate))
        return
    # RIFF's own tags are few, and where ffmpeg finds one it does not show the others.
    is_wav = audio_format == "wav"
    _write(path, samples, sample_rate, _CODECS[audio_format], {} if is_wav else tags)
    if is_wav and tags:
        append_chunk(path, b"id3 ", id3(tags))


def mp3(samples: NDArray[np.int16], sample_rate: int) -> bytes:
    """A whole MP3 stream that decodes to exactly the frames given.

    Raises ValueError unless frames have one size, which at 320 kbit/s 48 kHz gives (960 bytes).
    """
    frame_bytes, rest = divmod(144_000 * MP3_BIT_RATE, sample_rate)
    if rest:
        raise ValueError(f"no MP3 of constant frames at {sample_rate} Hz: 48 kHz only")
    encoder = lameenc.Encoder()
    encoder.set_bit_rate(MP3_BIT_RATE)
    encoder.set_in_sample_rate(sample_rate)
    encoder.set_channels(2)
    encoder.set_quality(MP3_QUALITY)
    encoder.silence()
    stream = bytes(encoder.encode(samples.astype("<i2", copy=False).tobytes()))
    stream += bytes(encoder.flush())
    return with_length(stream, len(samples), frame_bytes=frame_bytes)


def _write(
    path: Path,
    samples: NDArray[np.int16],
    sample_rate: int,
    codec: _Codec,
    tags: Mapping[str, str],
) -> None:
    with av.open(str(path), "w", format=codec.container, options=dict(_SAME_BYTES)) as file:
        stream = file.add_stream(codec.name, rate=sample_rate, options=dict(codec.options))
        assert isinstance(stream, AudioStream)
        stream.layout, stream.format = "stereo", "s16"
        if codec.bit_rate is not None:
            stream.bit_rate = codec.bit_rate
        file.metadata.update(tags)
        for frame in _frames(samples, sample_rate):
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def _frames(samples: NDArray[np.int16], sample_rate: int) -> Iterator[av.AudioFrame]:
    """One second each."""
    for start in range(0, len(samples), sample_rate):
        packed = np.ascontiguousarray(samples[start : start + sample_rate]).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout="stereo")
        frame.sample_rate, frame.pts = sample_rate, start
        yield frame
