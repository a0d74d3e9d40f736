from pathlib import Path

import numpy as np
import pytest

from trackfarm_demo.evaluation import unseen_briefs
from trackfarm_demo.latents import CHANNELS
from trackfarm_demo.variations import VariationMaker, common_notes, table
from trackfarm_worker.models import demo

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")


def test_repaint_goes_on_in_tempo_and_key_with_other_notes(tmp_path: Path) -> None:
    (brief,) = (brief for brief in unseen_briefs(8) if brief.piece.genre == "piano")
    result = VariationMaker(demo.build(), tmp_path).vary(brief, seed=3)
    assert result.inside.in_scale > 0.95
    assert result.inside.on_grid > 0.9
    assert result.inside.chord_tones > 0.9
    assert result.repeated < 0.9
    assert result.alike < 0.6
    assert "| piano | " in table([result])


def test_common_notes_are_those_of_the_melody() -> None:
    one, other = np.zeros((2, 3, CHANNELS), np.float32)
    one[0, 1] = one[1, 2] = other[0, 1] = 4
    one[2, 14] = one[2, 5] = -4  # bass and drums do not count
    assert common_notes(one, one) == 1
    assert common_notes(one, other) == 0.5
    assert common_notes(one * 0, one * 0) == 1
