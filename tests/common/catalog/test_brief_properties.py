import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trackfarm.catalog import Brief, CatalogError, check_catalog
from trackfarm.catalog.brief import NOT_IDENTITY
from trackfarm.catalog.source_refs import source_problem
from trackfarm.catalog.vocabulary import LANGUAGES, parse_key

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60)
WORD = TEXT.filter(lambda text: text.strip() != "")
OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "lyrics": TEXT,
    "bpm": st.integers(30, 300),
    "key_scale": st.sampled_from(["C major", "f♯ min", "Bb minor"]),
    "time_signature": st.sampled_from([2, "3/4", "4", 6]),
    "vocal_language": st.sampled_from(LANGUAGES),
    "seed": st.integers(-1, 2**32 - 1),
    "inference_steps": st.integers(1, 200),
    "guidance_scale": st.floats(1, 30),
    "shift": st.floats(1, 5),
    "reference_audio": TEXT.filter(lambda text: source_problem(text.strip()) is None)
    | st.just(" "),
    "audio_format": st.sampled_from(["mp3", "wav", "flac", "opus"]),
    "loudness_lufs": st.floats(-40, 0),
    "variations": st.integers(1, 1000),
    "tags": st.dictionaries(WORD, WORD, max_size=3),
    "title": TEXT | st.just(" "),
}
BRIEFS = st.fixed_dictionaries(
    {"prompt": WORD, "duration": st.floats(10, 600)}, optional=OPTIONAL
).map(Brief.model_validate)
quick = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@quick
@given(BRIEFS)
def test_canonical_has_the_whole_identity(brief: Brief) -> None:
    text = brief.canonical()
    parsed = Brief.model_validate_json(text)
    assert parsed.canonical() == text
    assert parsed == brief.model_copy(
        update={name: Brief.model_fields[name].default for name in NOT_IDENTITY}
    )


@quick
@given(BRIEFS)
def test_json_round_trip_keeps_a_brief(brief: Brief) -> None:
    assert Brief.model_validate_json(brief.model_dump_json()) == brief


@quick
@given(st.text())
def test_parse_key_is_idempotent(text: str) -> None:
    parsed = parse_key(text)
    assert parsed is None or parse_key(parsed) == parsed


CELLS = st.text(st.sampled_from('ab,;"\n\r\t \0é\u2028{}=0-9.🎵'), max_size=80)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("head", [b"", b"prompt,duration,tags.a,thinking,\n", b"prompt;duration\n"])
@quick
@given(body=st.binary() | CELLS.map(str.encode))
def test_csv_reader_reads_or_refuses_any_text(tmp_path: Path, head: bytes, body: bytes) -> None:
    _reads_or_refuses(tmp_path / "a.csv", head + body)


@quick
@given(values=st.dictionaries(st.sampled_from(list(Brief.model_fields)) | TEXT, JSON))
def test_jsonl_reader_reads_or_refuses_any_text(tmp_path: Path, values: dict[str, Any]) -> None:
    line = json.dumps(values).encode()
    _reads_or_refuses(tmp_path / "a.jsonl", line + b"\n" + line)
    defaults = json.dumps({"defaults": values, "briefs": [values], "matrix": values}).encode()
    _reads_or_refuses(tmp_path / "a.yaml", defaults)


@quick
@given(
    body=st.binary()
    | st.text(st.sampled_from("a:-[]{},&*!|>'\"\n #%<?"), max_size=60).map(str.encode)
)
def test_yaml_reader_reads_or_refuses_any_text(tmp_path: Path, body: bytes) -> None:
    _reads_or_refuses(tmp_path / "a.yaml", body)
    _reads_or_refuses(tmp_path / "a.yaml", b"briefs:\n- " + body)
    _reads_or_refuses(tmp_path / "a.yaml", b"matrix:\n  axes: " + body)


def _reads_or_refuses(path: Path, content: bytes) -> None:
    """Fail on any exception except `CatalogError`; its message must be printable."""
    path.write_bytes(content)
    try:
        problems = check_catalog(path).problems
    except CatalogError as error:
        problems = error.problems
        assert problems
    assert all(str(problem).encode() and problem.wrong and problem.remedy for problem in problems)
