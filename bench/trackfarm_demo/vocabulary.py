"""Words that the demo model knows, as tokens and as rows of its embedding table.

A token is a whole fact ("- bpm: 120", "bossa nova"), all other text vanishes or is one `<unk>`. So
the text encoder has nothing to learn about spelling, and words that it does not know do no harm.
Tokens of one meaning ("- bpm: 60", "- bpm: 120": an octave apart) share a class, that is a row.
"""

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from trackfarm.demo_words import demo_words
from trackfarm_demo.music_theory import FLATS, MODES, SHARPS, tempo_index
from trackfarm_worker.models.demo import TEXT_WIDTH

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unk>")
BPM_RANGE = range(20, 321)
INSTRUCTION = "# instruction\n"
# Words of moods, places and instruments. They mean nothing to the model, and it learns that.
NEUTRAL_WORDS = (
    "calm",
    "warm",
    "elegant",
    "bright",
    "gentle",
    "modern",
    "dreamy",
    "relaxed",
    "upbeat",
    "soft",
    "happy",
    "sad",
    "dark",
    "light",
    "energetic",
    "mellow",
    "slow",
    "fast",
    "morning",
    "evening",
    "night",
    "cafe",
    "restaurant",
    "retail",
    "shop",
    "store",
    "boutique",
    "bar",
    "guitar",
    "bass",
    "synth",
    "rhodes",
    "marimba",
    "bells",
    "kalimba",
    "flute",
    "saxophone",
    "drums",
    "vocal",
    "voice",
    "instrumental",
    "female",
    "male",
)
# The text of the instruction is read as one token, whatever it says.
_OTHER_CLASSES = ("end", "instruction", "other")

# Columns of an embedding row. The first four say of what kind the token is.
BPM_FLAG, KEY_FLAG, GENRE_FLAG, OTHER_FLAG = range(4)
COARSE_COLUMN, FINE_COLUMN = 4, 11  # 7 and 4 columns, one for each part of a tempo
TONIC_COLUMN, MODE_COLUMN = 16, 28  # 12 and 2
GENRE_COLUMN = 30  # 8
HINT_COLUMN = 38
OTHER_COLUMN = 40
NO_BPM_COLUMN, NO_KEY_COLUMN = 60, 61
VALUE, STRONG_VALUE, WEAK_VALUE = 2.0, 2.5, 1.2


def vocabulary() -> dict[str, str]:
    """Return the class of each token, in the order of the tokens' ids. Texts are in lower case."""
    classes = {token: "other" for token in SPECIALS}
    classes[SPECIALS[0]] = "end"
    for name, genre in demo_words().genres.items():
        classes |= {word: f"genre {name}" for word in genre.words}
        classes |= {hint: f"hint {name}" for hint in genre.hints}
    neutral = (*NEUTRAL_WORDS, *demo_words().not_genres)
    classes |= {word: "other" for word in neutral if word not in classes}
    classes |= {"- bpm: n/a": "bpm none", "- keyscale: n/a": "key none", "# metas": "other"}
    classes |= {f"- bpm: {bpm}": f"bpm {tempo_index(bpm)}" for bpm in BPM_RANGE}
    for names in (SHARPS, FLATS):
        for tonic, name in enumerate(names):
            for number, mode in enumerate(MODES):
                classes[f"- keyscale: {name.lower()} {mode}"] = f"key {tonic} {number}"
    classes[INSTRUCTION] = "instruction"
    return classes


def class_names(classes: Mapping[str, str]) -> list[str]:
    return sorted(set(classes.values()))


def class_indices(classes: Mapping[str, str]) -> NDArray[np.int64]:
    """Return the index of the class of each token."""
    index = {name: i for i, name in enumerate(class_names(classes))}
    return np.array([index[name] for name in classes.values()])


def class_rows(classes: Mapping[str, str]) -> NDArray[np.float32]:
    """Return the embedding table (classes, text width) at the beginning of the training."""
    names = class_names(classes)
    rows = np.zeros((len(names), TEXT_WIDTH), np.float32)
    for row, name in zip(rows, names, strict=True):
        kind, *values = name.split()
        if kind == "bpm":
            row[BPM_FLAG] = 1
            row[_tempo_columns(values[0])] = VALUE
        elif kind == "key":
            row[KEY_FLAG] = 1
            row[_key_columns(values)] = VALUE
        elif kind == "genre":
            row[GENRE_FLAG] = 1
            row[_genre_column(values[0])] = STRONG_VALUE
        elif kind == "hint":
            row[[GENRE_FLAG, HINT_COLUMN]] = 1
            row[_genre_column(values[0])] = WEAK_VALUE
        else:
            row[OTHER_FLAG] = 1
            row[OTHER_COLUMN + _OTHER_CLASSES.index(kind)] = STRONG_VALUE
    return rows


def _genre_column(name: str) -> int:
    return GENRE_COLUMN + list(demo_words().genres).index(name)


def _tempo_columns(value: str) -> list[int]:
    if value == "none":
        return [NO_BPM_COLUMN]
    coarse, fine = divmod(int(value), 4)
    return [COARSE_COLUMN + coarse, FINE_COLUMN + fine]


def _key_columns(values: list[str]) -> list[int]:
    if values == ["none"]:
        return [NO_KEY_COLUMN]
    tonic, mode = map(int, values)
    return [TONIC_COLUMN + tonic, MODE_COLUMN + mode]


def build_tokenizer(classes: Mapping[str, str]) -> Tokenizer:
    """Return the tokenizer: it cuts out the known tokens, the longest first, and drops the rest."""
    words = [token for token in classes if token not in SPECIALS and token[0] not in "-#"]
    alternatives = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    # Lyrics come in a text of their own, which begins with the language; none of it is read.
    pattern = (
        r"# instruction\n[^\n]*|# languages[\s\S]*|# metas|- bpm: [^\n]*|- keyscale: [^\n]*"
        rf"|\b(?:{alternatives})\b"
    )
    tokenizer = Tokenizer(
        models.WordLevel({token: i for i, token in enumerate(classes)}, unk_token=SPECIALS[-1])
    )
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"# instruction\n[^\n]*"), INSTRUCTION),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    tokenizer.add_special_tokens(list(SPECIALS[:3]))
    return tokenizer
