"""Detection of truncated WAV files, which ffmpeg plays as far as they go."""

import struct
from pathlib import Path

UNKNOWN = (0, 0xFFFF_FFFF)  # written by programs that could not seek back to the header


def missing_bytes(path: Path) -> int:
    """Return how many bytes the data chunk of a WAV file claims beyond the end of the file; 0 for
    any other file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return 0
        while len(chunk := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", chunk)
            if name == b"data":
                return 0 if length in UNKNOWN else max(0, file.tell() + length - size)
            file.seek(length + length % 2, 1)
    return 0
