import pytest

from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.child.measures import fault, thresholds, unmeasurable
from trackfarm_worker.engine.protocol import Measures

GOOD = Measures(
    finite=True, silent=False, raw_peak_dbfs=-3, peak_dbfs=-1, rms_dbfs=-18, clipped=0, dc=0
)


def test_good_audio_has_no_fault() -> None:
    assert fault(GOOD, thresholds("acestep-v15-turbo")) is None


@pytest.mark.parametrize(
    ("measures", "kind", "words"),
    [
        (unmeasurable(), FailureKind.NOT_FINITE, "not finite"),
        (
            GOOD.model_copy(update={"silent": True}),
            FailureKind.SILENT,
            "peak -3.0 dBFS before normalisation, rms -18.0",
        ),
        (
            GOOD.model_copy(update={"audible": 0.4}),
            FailureKind.TOO_SHORT,
            "only the first 40% of the audio is above -60 dBFS",
        ),
    ],
)
def test_each_fault_says_what_was_measured(
    measures: Measures, kind: FailureKind, words: str
) -> None:
    found = fault(measures, thresholds("acestep-v15-turbo"))
    assert found
    assert found.kind == kind
    assert words in found.message


def test_a_model_set_may_have_its_own_thresholds() -> None:
    fading = GOOD.model_copy(update={"audible": 0.8})
    assert fault(fading, thresholds("acestep-v15-sft")) is None
    assert fault(fading, thresholds("tiny"))
