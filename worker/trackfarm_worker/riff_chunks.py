"""Adds a chunk to a RIFF file (WAV): its name, its length, its content on an even address."""

import struct
from pathlib import Path

SIZE_AT = 4


def append_chunk(path: Path, name: bytes, content: bytes) -> None:
    """`name` has four bytes. The file's own length, in its header, grows with it."""
    padded = content + b"\x00" * (len(content) % 2)
    with path.open("r+b") as file:
        file.seek(0, 2)
        file.write(name + struct.pack("<I", len(content)) + padded)
        size = file.tell() - 8
        file.seek(SIZE_AT)
        file.write(struct.pack("<I", size))
