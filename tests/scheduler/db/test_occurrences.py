"""Counter of repeated briefs: equal to a dictionary, without its memory."""

from collections import Counter
from contextlib import closing

from hypothesis import given
from hypothesis import strategies as st

from trackfarm_scheduler.db.occurrences import Occurrences


@given(st.lists(st.sampled_from(["", "a", "b", "ü", "a" * 1000])))
def test_occurrences_count_each_text(texts: list[str]) -> None:
    before: Counter[str] = Counter()
    with closing(Occurrences()) as occurrences:
        for text in texts:
            assert occurrences.next(text) == before[text]
            before[text] += 1


def test_occurrences_are_private_to_each_counter() -> None:
    with closing(Occurrences()) as one, closing(Occurrences()) as other:
        assert (one.next("a"), one.next("a"), other.next("a")) == (0, 1, 0)
