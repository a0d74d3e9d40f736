"""The first frame of an MP3 file, which tells players its exact length.

`lameenc` leaves this frame out, so a decoder would deliver the encoder's delay and padding as
sound: 32 ms too much. Layout: the "Info" (constant bit rate Xing) header with LAME's extension,
http://gabriel.mp3-tech.org/mp3infotag.html. ID3v2.4: https://id3.org/id3v2.4.0-structure.
"""

from collections.abc import Mapping

SAMPLES_PER_FRAME = 1152
ENCODER_DELAY = 576  # samples; LAME's ENCDELAY
SIDE_INFO_END = 36  # 4 bytes of frame header, 32 of side information (MPEG-1 stereo)
FRAMES_AND_BYTES = 3  # flags: both fields follow
TEXT_FRAMES = {"title": "TIT2", "artist": "TPE1", "album": "TALB", "genre": "TCON"}


def with_length(stream: bytes, samples: int, *, frame_bytes: int) -> bytes:
    """Puts an Info frame before a constant bit rate `stream` made from `samples` per channel.

    `frame_bytes` is the size of every frame, which the new first one has too.
    """
    frames, rest = divmod(len(stream), frame_bytes)
    assert rest == 0, "a constant bit rate stream has frames of one size"
    padding = frames * SAMPLES_PER_FRAME - ENCODER_DELAY - samples
    info = bytearray(frame_bytes)
    info[:4] = stream[:4]
    tag = b"".join(
        [
            b"Info",
            FRAMES_AND_BYTES.to_bytes(4, "big"),
            frames.to_bytes(4, "big"),
            (frame_bytes + len(stream)).to_bytes(4, "big"),
            b"LAME3.100",
            bytes(12),  # revision, low-pass, replay gain, flags, bit rate: not told
            (ENCODER_DELAY << 12 | padding).to_bytes(3, "big"),
        ]
    )
    info[SIDE_INFO_END : SIDE_INFO_END + len(tag)] = tag
    return bytes(info) + stream


def id3(tags: Mapping[str, str]) -> bytes:
    """An ID3v2.4 header with the known tags, `comment` included; empty when there is none."""
    frames = [_frame(TEXT_FRAMES[k], b"\x03", v) for k, v in tags.items() if k in TEXT_FRAMES]
    if "comment" in tags:
        frames.append(_frame("COMM", b"\x03eng\x00", tags["comment"]))
    body = b"".join(frames)
    return b"ID3\x04\x00\x00" + _synchsafe(len(body)) + body if body else b""


def _frame(identifier: str, head: bytes, text: str) -> bytes:
    content = head + text.encode()
    return identifier.encode() + _synchsafe(len(content)) + b"\x00\x00" + content


def _synchsafe(number: int) -> bytes:
    """Four bytes of seven bits, so that no length looks like the start of a frame."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))
