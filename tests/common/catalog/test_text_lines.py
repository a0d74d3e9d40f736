"""Reading of text files by lines, with the place of invalid bytes."""

from pathlib import Path

import pytest

from trackfarm.catalog import CatalogError
from trackfarm.catalog.text_lines import LONGEST_LINE, read_lines, read_text


def write_catalog(folder: Path, content: bytes) -> Path:
    path = folder / "catalog.csv"
    path.write_bytes(content)
    return path


def test_read_lines_drops_the_byte_order_mark_and_keeps_line_ends(tmp_path: Path) -> None:
    path = write_catalog(tmp_path, b"\xef\xbb\xbfa,\xc3\xbc\r\nb\nc")
    assert list(read_lines(path)) == ["a,ü\r\n", "b\n", "c"]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"a\nb\xffc\n", ":2: catalog: byte 3 is not UTF-8"),
        (b"a\n" * 600_000 + b"\xc3(", ":600001: catalog: byte 1200000 is not UTF-8"),
        (b"a\nb\xc3", ":2: catalog: byte 3 is not UTF-8"),
        ("a,b\n".encode("utf-16"), ":1: catalog: is UTF-16, not UTF-8"),
    ],
)
def test_read_lines_names_the_first_byte_that_is_not_utf8(
    tmp_path: Path, content: bytes, place: str
) -> None:
    with pytest.raises(CatalogError, match="UTF-8") as raised:
        list(read_lines(write_catalog(tmp_path, content)))
    assert f"catalog.csv{place}" in str(raised.value)


def test_read_lines_refuses_a_line_that_does_not_end(tmp_path: Path) -> None:
    lines = read_lines(write_catalog(tmp_path, b"a\n" + b"x" * (LONGEST_LINE + 1)))
    assert next(lines) == "a\n"
    with pytest.raises(CatalogError, match=":2: line: the line is longer than 1,048,576"):
        next(lines)


def test_read_lines_says_why_a_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="cannot be read: no such file or directory"):
        next(read_lines(tmp_path / "none.csv"))
    with pytest.raises(CatalogError, match="cannot be read: is a directory"):
        next(read_lines(tmp_path))


def test_read_text_has_a_limit(tmp_path: Path) -> None:
    path = write_catalog(tmp_path, b"\xef\xbb\xbfabc")
    assert read_text(path, 6, "split it") == "abc"
    with pytest.raises(CatalogError, match="is 6 bytes, over 5; split it"):
        read_text(path, 5, "split it")
