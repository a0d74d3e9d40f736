"""First frame of an MP3 file, which tells players its exact length.

`lameenc` omits this frame, so a decoder would play the encoder's delay and padding as audio: 32 ms
too much. Layout: the "Info" (constant bit rate Xing) header with LAME's extension,
http://gabriel.mp3-tech.org/mp3infotag.html.
"""

SAMPLES_PER_FRAME = 1152
ENCODER_DELAY = 576  # samples; LAME's ENCDELAY
SIDE_INFO_END = 36  # 4 bytes of frame header, 32 of side information (MPEG-1 stereo)
FRAMES_AND_BYTES = 3  # flags: both fields follow


def with_length(stream: bytes, samples: int, *, frame_bytes: int) -> bytes:
    """Prepend an Info frame to a constant bit rate `stream` made from `samples` per channel.

    `frame_bytes` is the size of every frame, also of the new first one.
    """
    frames, remainder = divmod(len(stream), frame_bytes)
    assert remainder == 0, "a constant bit rate stream has frames of one size"
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
            bytes(12),  # revision, low-pass, replay gain, flags, bit rate: unset
            (ENCODER_DELAY << 12 | padding).to_bytes(3, "big"),
        ]
    )
    info[SIDE_INFO_END : SIDE_INFO_END + len(tag)] = tag
    return bytes(info) + stream
