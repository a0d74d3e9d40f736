"""Layers 0 and 1 of the demo transformer, set by hand to tell the time in the asked tempo.

Layer 0's cross-attention copies the facts of the tempo, key and genre tokens into the residual
stream. Its MLP lets the oscillators of the named tempo through, and layer 1's MLP
multiplies the coarse by the fine one, as complex numbers: the result is the angle of the beat, the
bar and the four bars. A product is exact in a SwiGLU, as silu(x) y - silu(-x) y = x y. It is exact
up to the norms' scales, and is trained with the rest: learnt from scratch the choice of a tempo
stays near chance for the whole training.
"""

from typing import Any

import torch

from trackfarm_demo.clock import COARSE, FINE, FIRST_CONSTANT, LEVEL_BEATS, OSCILLATORS
from trackfarm_demo.latents import PATCH_NUMBERS
from trackfarm_demo.vocabulary import (
    BPM_FLAG,
    COARSE_COLUMN,
    FINE_COLUMN,
    GENRE_COLUMN,
    GENRE_FLAG,
    KEY_FLAG,
    MODE_COLUMN,
    TONIC_COLUMN,
    VALUE,
)
from trackfarm_worker.models.demo import TEXT_WIDTH

# Columns of the residual stream.
CLOCK = PATCH_NUMBERS
CONSTANT = CLOCK + FIRST_CONSTANT
TEMPO = 2 * PATCH_NUMBERS  # 7 coarse, then 4 fine: that of 0 bpm first
KEY = TEMPO + 11
GENRE = KEY + 14
CHOSEN = GENRE + 8  # per level: coarse cosine and sine, fine cosine and sine
ANGLES = CHOSEN + 4 * len(LEVEL_BEATS)  # per level: cosine and sine

FLAGS = 4
HEAD = 32
GENRE_VALUES = HEAD  # columns of the values of the second key-value head
# Where the facts lie in an embedding row, in a value and in the residual stream; how many; value.
_TEMPO_FACTS = ((COARSE_COLUMN, 7), (FINE_COLUMN, 4))
_KEY_FACTS = ((TONIC_COLUMN, 12), (MODE_COLUMN, 2))
# Root-mean-square of the projected value vectors, measured: makes an indicator about 2.
TEMPO_SCALE, GENRE_SCALE = 5.33, 7.4


def build_clock_circuit(dit: Any) -> None:
    """Set the circuit's weights; unused ones get small random numbers."""
    embedder = dit.condition_embedder.weight
    embedder[:TEXT_WIDTH] = torch.eye(TEXT_WIDTH)
    embedder[TEXT_WIDTH:] *= 0.3
    _read_facts(dit.layers[0].cross_attn, dit.config.hidden_size)
    _choose_oscillators(dit.layers[0].mlp)
    _multiply_angles(dit.layers[1].mlp)


def _read_facts(attention: Any, width: int) -> None:
    query, key = attention.to_q.weight, attention.to_k.weight
    value, out = attention.to_v.weight, attention.to_out[0].weight
    query.zero_()
    key.zero_()
    value.mul_(0.1)
    out.mul_(0.1)
    for head in (0, 1):  # of keys and values; each serves two heads of queries
        rows = slice(HEAD * head + FLAGS, HEAD * (head + 1))
        key[HEAD * head : HEAD * head + FLAGS, :FLAGS] = torch.eye(FLAGS)
        key[rows, :TEXT_WIDTH] = torch.randn(HEAD - FLAGS, TEXT_WIDTH) * 0.01
    for head, flag in enumerate((BPM_FLAG, KEY_FLAG, GENRE_FLAG, GENRE_FLAG)):
        query[HEAD * head + flag, CONSTANT] = 1
        rows = slice(HEAD * head + FLAGS, HEAD * (head + 1))
        query[rows] = torch.randn(HEAD - FLAGS, width) * 0.02
    attention.norm_q.weight[:FLAGS] = 1.6
    attention.norm_k.weight[:FLAGS] = 1.0

    value[:HEAD] = 0
    _copy(value, out, _TEMPO_FACTS, (0, 0), TEMPO, VALUE / TEMPO_SCALE)
    _copy(value, out, _KEY_FACTS, (11, HEAD + 11), KEY, VALUE / TEMPO_SCALE)
    facts = ((GENRE_COLUMN, 8),)
    _copy(value, out, facts, (GENRE_VALUES, 2 * HEAD), GENRE, VALUE / GENRE_SCALE)


def _copy(
    value: torch.Tensor,
    out: torch.Tensor,
    facts: tuple[tuple[int, int], ...],
    places: tuple[int, int],
    target: int,
    scale: float,
) -> None:
    """Copy facts, columns of the embedding, through a head's values to the residual stream.

    `places` are their first row among the values, and their first column among the heads' outputs.
    """
    columns = [first + i for first, count in facts for i in range(count)]
    for number, column in enumerate(columns):
        value[places[0] + number, column] = 1
        out[target + number] = 0
        out[target + number, places[1] + number] = scale


class _HiddenUnits:
    """Hidden units of an MLP (SwiGLU), handed out one after the other."""

    def __init__(self, mlp: Any) -> None:
        self._gate, self._up = mlp.gate_proj.weight, mlp.up_proj.weight
        self.down = mlp.down_proj.weight
        self._next = 0

    def set(self, gate: tuple[int, float], up: tuple[int, float], down: tuple[int, float]) -> None:
        """Make the next unit add `down` * silu(`gate`) * `up`; each a column and its weight."""
        unit = self._next
        self._gate[unit], self._up[unit], self.down[:, unit] = 0, 0, 0
        self._gate[unit, gate[0]] = gate[1]
        self._up[unit, up[0]] = up[1]
        self.down[down[0], unit] = down[1]
        self._next += 1


def _choose_oscillators(mlp: Any) -> None:
    units = _HiddenUnits(mlp)
    units.down[CHOSEN : ANGLES + 2 * len(LEVEL_BEATS)] *= 0.1
    for level in range(len(LEVEL_BEATS)):
        chosen = CHOSEN + 4 * level
        for oscillator in range(OSCILLATORS):
            is_fine = oscillator >= len(COARSE)
            # The first of the fine indicators stands for no fine part, so it has no oscillator.
            indicator = TEMPO + oscillator + (1 if is_fine else 0)
            for part in (0, 1):
                angle = CLOCK + 2 * (OSCILLATORS * level + oscillator) + part
                units.set(
                    (indicator, 2), (angle, 0.6), (chosen + (2 if is_fine else 0) + part, 0.15)
                )
        # An angle of 0 has the cosine 1.
        units.set((TEMPO + len(COARSE), 2), (CONSTANT, 0.6), (chosen + 2, 0.15))


def _multiply_angles(mlp: Any) -> None:
    """Set (a + ib)(c + id) = (ac - bd) + i(ad + bc) for each level, of coarse and fine."""
    units = _HiddenUnits(mlp)
    units.down[ANGLES : ANGLES + 2 * len(LEVEL_BEATS)] *= 0.1
    for level in range(len(LEVEL_BEATS)):
        chosen, angle = CHOSEN + 4 * level, ANGLES + 2 * level
        for coarse, fine, part, sign in ((0, 2, 0, 1), (1, 3, 0, -1), (0, 3, 1, 1), (1, 2, 1, 1)):
            for side in (1, -1):
                units.set(
                    (chosen + coarse, side), (chosen + fine, side), (angle + part, 0.8 * sign)
                )


assert len(FINE) == 3  # TEMPO has a column for each, and one for none
