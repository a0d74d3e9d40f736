"""Tags as ID3v2.4 (https://id3.org/id3v2.4.0-structure), for MP3 and WAV files."""

from collections.abc import Mapping

UTF_8 = b"\x03"
TEXT_FRAMES = {
    "title": "TIT2",
    "artist": "TPE1",
    "album": "TALB",
    "genre": "TCON",
    "copyright": "TCOP",
}


def id3(tags: Mapping[str, str]) -> bytes:
    """Return the tags as an ID3v2.4 header, empty without tags. Tags without a frame of their own
    are stored as TXXX under their name."""
    body = b"".join(_frame_of(name, text) for name, text in tags.items())
    return b"ID3\x04\x00\x00" + _synchsafe(len(body)) + body if body else b""


def _frame_of(name: str, text: str) -> bytes:
    if name in TEXT_FRAMES:
        return _frame(TEXT_FRAMES[name], UTF_8, text)
    if name == "comment":
        return _frame("COMM", UTF_8 + b"eng\x00", text)
    return _frame("TXXX", UTF_8 + name.encode() + b"\x00", text)


def _frame(identifier: str, head: bytes, text: str) -> bytes:
    content = head + text.encode()
    return identifier.encode() + _synchsafe(len(content)) + b"\x00\x00" + content


def _synchsafe(number: int) -> bytes:
    """Encode a number as four bytes of seven bits, so that no length looks like the start of a
    frame."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))
