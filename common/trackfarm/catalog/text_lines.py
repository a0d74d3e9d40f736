"""Text files read line by line in constant memory, with the exact place of invalid bytes."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from trackfarm.catalog.errors import CatalogError, catalog_error

LONGEST_LINE = 1_048_576
_CHUNK = 1_048_576
_SAVE_AS_UTF8 = "save the file as UTF-8"


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 file with their endings, without a byte order mark.

    Raises `CatalogError` for a file that cannot be opened, bytes that are not UTF-8 (with their
    offset) and lines of more than 1,048,576 characters.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            number = 0
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    wrong = f"the line is longer than {LONGEST_LINE:,} characters"
                    raise catalog_error(
                        str(path), number, "line", wrong, "put each brief on its own line"
                    )
                yield line
    except UnicodeDecodeError:
        raise not_utf8(path) from None
    except OSError as error:
        raise unreadable(path, error) from None


def read_text(path: Path, most_bytes: int, advice: str) -> str:
    """Return the text of a UTF-8 file of at most `most_bytes`; raises like `read_lines`."""
    try:
        size = path.stat().st_size
        if size > most_bytes:
            raise catalog_error(
                str(path), 0, "catalog", f"is {size:,} bytes, over {most_bytes:,}", advice
            )
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise not_utf8(path) from None
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> CatalogError:
    """Return the error for a file that the system cannot open or read."""
    reason = (error.strerror or str(error)).lower()
    return catalog_error(str(path), 0, "catalog", f"cannot be read: {reason}", "check the path")


def not_utf8(path: Path) -> CatalogError:
    """Return the error with the offset and line of the first byte that is not UTF-8."""
    offset, line = _first_bad_byte(path)
    if _starts_like_utf16(path):
        return catalog_error(str(path), 1, "catalog", "is UTF-16, not UTF-8", _SAVE_AS_UTF8)
    return catalog_error(str(path), line, "catalog", f"byte {offset} is not UTF-8", _SAVE_AS_UTF8)


def _starts_like_utf16(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def _first_bad_byte(path: Path) -> tuple[int, int]:
    """Return its offset from 0 and line from 1.

    Decodes the file again, since text files do not report the offset.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, start = 1, 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            pending = len(decoder.getstate()[0])
            try:
                line += decoder.decode(chunk).count("\n")
            except UnicodeDecodeError as error:
                good = error.object[: error.start]
                return start - pending + error.start, line + good.count(b"\n")
            start += len(chunk)
    return start - len(decoder.getstate()[0]), line
