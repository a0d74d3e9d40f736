"""Who a track is: the key that makes resubmission find it, and the seed that makes it again."""

import hashlib
import json

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
SEED_BITS = 32
SPARE_SEEDS = 2  # tries that a worker may add by itself, where it has the track at hand


def track_key(
    *,
    owner: str,
    catalog: str,
    brief: str,
    occurrence: int,
    variation: int,
    model_set: str,
) -> str:
    """32 hex digits naming one track for ever.

    `brief` is `Brief.canonical()` (it carries the audio format), `occurrence` counts equal briefs
    of one catalog from 0, `variation` the takes of one brief, `model_set` includes its revision.
    """
    parts = [owner, catalog, brief, occurrence, variation, model_set]
    return hashlib.sha256(_COMPACT.encode(parts).encode("utf-8")).hexdigest()[:32]


def seed_of(key: str, try_number: int, *, given: int | None, variation: int) -> int:
    """The seed of one try, in [0, 2**32).

    A seed given in the brief belongs to variation 0 and the first try; other variations and
    later tries step away from it, as ACE-Step's own batches do.
    """
    if given is not None:
        return (given + variation + 1_000_003 * try_number) % (1 << SEED_BITS)
    digest = hashlib.sha256(f"{key}:{try_number}".encode()).digest()
    return int.from_bytes(digest[: SEED_BITS // 8], "big")


def next_seeds(key: str, seed: int, *, tries: int, given: int | None) -> tuple[int, ...]:
    """The derived seeds of the two tries behind the one that has `seed`, which is one of the
    first `tries`. None where the brief gives a seed: then that is what was asked for."""
    if given is not None:
        return ()
    numbers = (n for n in range(tries) if seed_of(key, n, given=None, variation=0) == seed)
    number = next(numbers, None)
    if number is None:
        return ()
    following = range(number + 1, number + 1 + SPARE_SEEDS)
    return tuple(seed_of(key, n, given=None, variation=0) for n in following)
