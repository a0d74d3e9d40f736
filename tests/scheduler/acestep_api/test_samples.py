"""Sample parameters that fill a form."""

from trackfarm.model_sets import model_set
from trackfarm_scheduler.acestep_api.parameters import flatten_parameters
from trackfarm_scheduler.acestep_api.samples import choose_sample, samples
from trackfarm_scheduler.acestep_api.translate import Translated, translate


def test_samples_are_all_accepted_as_calls() -> None:
    assert len(samples()) >= 2
    for sample in samples():
        parameters = flatten_parameters(sample.model_dump())
        outcome = translate(parameters, model_set("acestep-v15-turbo"), draw=lambda: 1)
        assert isinstance(outcome, Translated), outcome
        assert outcome.brief.duration == sample.duration
        assert outcome.ignored == ()


def test_choose_sample_returns_the_chosen_one() -> None:
    assert choose_sample(lambda all_samples: all_samples[-1]) == samples()[-1]
