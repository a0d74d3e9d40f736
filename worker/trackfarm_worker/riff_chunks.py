"""Append a chunk to a RIFF file (WAV): name, length, content padded to an even length."""

import struct
from pathlib import Path

SIZE_AT = 4


def append_chunk(path: Path, name: bytes, content: bytes) -> None:
    """Append a chunk with a four-byte `name` and update the file length in the header."""
    padded = content + b"\x00" * (len(content) % 2)
    with path.open("r+b") as file:
        file.seek(0, 2)
        file.write(name + struct.pack("<I", len(content)) + padded)
        size = file.tell() - 8
        file.seek(SIZE_AT)
        file.write(struct.pack("<I", size))
