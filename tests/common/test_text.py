"""Untrusted text, before it is printed or stored."""

import pytest

from trackfarm.protocol.operator import JobHeader
from trackfarm.protocol.worker import RegisterRequest, TrackFailed
from trackfarm.text import clean, line

EVIL = "\x1b]0;owned\x07gpu\x9b2J\u202e\r\nline"


def test_clean_keeps_words_and_line_breaks() -> None:
    assert clean("Füße\n\t夜 “x”") == "Füße\n\t夜 “x”"
    assert clean(EVIL) == "�]0;owned�gpu�2J��\nline"
    assert line(EVIL) == "�]0;owned�gpu�2J�� line"


def test_worker_messages_are_clean_before_they_are_stored() -> None:
    request = RegisterRequest(
        name=EVIL, gpu=EVIL, memory_mib=1, model_set="tiny", versions={EVIL: EVIL}
    )
    texts = [request.name, request.gpu, *request.versions, *request.versions.values()]
    assert all(text.isprintable() for text in texts)
    failed = TrackFailed.model_validate({"track_id": 1, "kind": "silent", "message": EVIL})
    assert "\x1b" not in failed.message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e300])
def test_calibration_refuses_impossible_values(value: float) -> None:
    with pytest.raises(ValueError, match="calibration"):
        RegisterRequest(
            name="x", gpu="x", memory_mib=1, model_set="tiny", calibration={"speed": value}
        )


def test_job_header_refuses_a_name_that_cannot_be_printed() -> None:
    assert JobHeader(catalog="Füße").catalog == "Füße"
    with pytest.raises(ValueError, match="catalog"):
        JobHeader(catalog=EVIL)
    with pytest.raises(ValueError, match="cannot be printed"):
        JobHeader(catalog="\u202e")
