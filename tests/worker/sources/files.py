"""Good and hostile audio files for the tests."""

import gzip
import io
import struct
import zipfile
from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

SECONDS = 3.0
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


# Part of the error message for each hostile file.
REASONS = {
    "truncated.wav": "truncated",
    "truncated.flac": "truncated",
    "truncated.m4a": "not an audio file",
    "wrong-header.wav": "not an audio file",
    "noise.mp3": "not an audio file",
    "ten-hours.flac": "36,000.0 s long",
    "untold-length.flac": "more than 600 s",
    "bomb.mp3": "not an audio file",
    "zip.mp3": "not an audio file",
    "nan.wav": "NaN or infinite",
    "infinite.wav": "NaN or infinite",
    "integers-as-floats.wav": "out of range",
    "eight.wav": "8 channels",
    "one-hertz.wav": "1 Hz",
    "mega-hertz.wav": "4,000,000 Hz",
    "text.mp3": "not an audio file",
    "empty.wav": "empty",
    "no-samples.wav": "no samples",
    "page.wav": "not an audio file",
    "four-gigabytes.wav": "truncated: 4,29",
    "huge-id3.mp3": "not an audio file",
    "cover-only.mp3": "not an audio file",
    "picture.mp3": "not an audio file",
    "video-only.mp4": "no audio stream",
    "silence.flac": "-200 dBFS",
    "whisper.wav": "-72 dBFS",
    "list.m3u8": "not an audio file",
    "list.ffconcat": "not an audio file",
    "session.sdp": "not an audio file",
    "stream.pls": "not an audio file",
    "adpcm.wav": "adpcm_ima_wav",
}


def tone(rate: int, seconds: float = SECONDS, channels: int = 2) -> NDArray[np.float64]:
    """Return a sine of a different pitch on each channel, at half of full scale."""
    time = np.arange(round(rate * seconds)) / rate
    pitches = 220.0 * (1 + np.arange(channels))
    return np.asarray(np.sin(2 * np.pi * time[:, None] * pitches) / 2)


def wav(samples: NDArray[np.float64], rate: int = 48_000, subtype: str = "PCM_16") -> bytes:
    return encode_by_libsndfile(samples, rate, "WAV", subtype)


def flac(samples: NDArray[np.float64] | NDArray[np.int16], rate: int = 48_000) -> bytes:
    return encode_by_libsndfile(samples, rate, "FLAC", "PCM_16")


def encode_by_libsndfile(
    samples: NDArray[np.float64] | NDArray[np.int16], rate: int, kind: str, subtype: str
) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=kind, subtype=subtype)
    return out.getvalue()


def encode_by_ffmpeg(
    samples: NDArray[np.float64], container: str, codec: str, rate: int = 48_000
) -> bytes:
    """Encode with ffmpeg's encoders."""
    out = io.BytesIO()
    layout = "mono" if samples.shape[1] == 1 else "stereo"
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.layout = layout
        packed = np.ascontiguousarray(samples.T, dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(packed, format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        for packet in (*stream.encode(frame), *stream.encode(None)):
            file.mux(packet)
    return out.getvalue()


def video_only() -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


def with_data_size(content: bytes, size: int) -> bytes:
    """Return a WAV file with another size in its data chunk."""
    at = content.index(b"data") + 4
    return content[:at] + struct.pack("<I", size) + content[at + 4 :]


def with_rate(content: bytes, rate: int) -> bytes:
    """Return a WAV file with another sample rate in its header."""
    return content[:24] + struct.pack("<I", rate) + content[28:]


def with_total(content: bytes, samples: int) -> bytes:
    """Return a FLAC file with another number of samples in its STREAMINFO (36 bits; 0: unknown)."""
    packed = int.from_bytes(content[18:26], "big")
    packed = packed >> 36 << 36 | samples
    return content[:18] + packed.to_bytes(8, "big") + content[26:]


def id3(size: int, body: bytes = b"") -> bytes:
    """Return an ID3v2.4 header that claims `size` bytes, followed by its actual contents."""
    synchsafe = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x04\x00\x00" + synchsafe + body


def cover_only() -> bytes:
    """Return an MP3 file with a picture in its tag and no music."""
    picture = b"\x00image/png\x00\x03\x00" + PNG
    frame = b"APIC" + len(picture).to_bytes(4, "big") + b"\x00\x00" + picture
    return id3(len(frame), frame)


def zipped(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("song.mp3", content)
    return out.getvalue()


def hostile_files(folder: Path) -> dict[str, bytes]:
    """Return the files of REASONS."""
    good, secret = wav(tone(48_000)), folder / "secret.wav"
    song = flac(tone(48_000))
    nan, loud = tone(48_000), tone(48_000) * 65_536
    nan[7] = np.nan
    long_silence = flac(np.zeros((700 * 8_000, 1)), 8_000)
    return {
        "truncated.wav": good[: len(good) // 2],
        "truncated.flac": song[: len(song) // 2],
        "truncated.m4a": encode_by_ffmpeg(tone(48_000), "mp4", "aac")[:4_000],
        "wrong-header.wav": b"RIFX" + good[4:200],
        "noise.mp3": np.random.default_rng(1).bytes(300_000),
        "ten-hours.flac": with_total(long_silence, 36_000 * 8_000),
        "untold-length.flac": with_total(long_silence, 0),
        "bomb.mp3": gzip.compress(bytes(50_000_000)),
        "zip.mp3": zipped(bytes(50_000_000)),
        "nan.wav": wav(nan, subtype="FLOAT"),
        "infinite.wav": wav(np.full((48_000, 2), np.inf), subtype="DOUBLE"),
        "integers-as-floats.wav": wav(loud, subtype="FLOAT"),
        "eight.wav": wav(tone(48_000, channels=8)),
        "one-hertz.wav": with_rate(good, 1),
        "mega-hertz.wav": with_rate(good, 4_000_000),
        "text.mp3": b"just words\n" * 1_000,
        "empty.wav": b"",
        "no-samples.wav": wav(np.zeros((0, 2))),
        "page.wav": b"<!doctype html><html><body>Not found</body></html>",
        "four-gigabytes.wav": with_data_size(good, 0xFFFF_FFF0),
        "huge-id3.mp3": id3(200_000_000, b"TIT2" + bytes(1_000)),
        "cover-only.mp3": cover_only(),
        "picture.mp3": PNG,
        "video-only.mp4": video_only(),
        "silence.flac": flac(np.zeros((48_000, 2))),
        "whisper.wav": wav(tone(48_000) / 2_000, subtype="FLOAT"),
        "list.m3u8": _playlist(secret),
        "list.ffconcat": f"ffconcat version 1.0\nfile '{secret}'\n".encode(),
        "session.sdp": _session(),
        "stream.pls": f"[playlist]\nFile1=file://{secret}\n".encode(),
        "adpcm.wav": encode_by_libsndfile(tone(48_000), 48_000, "WAV", "IMA_ADPCM"),
    }


def _playlist(secret: Path) -> bytes:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nfile://{secret}\n".encode()


def _session() -> bytes:
    return b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=audio 9 RTP/AVP 0\r\nc=IN IP4 127.0.0.1\r\n"
