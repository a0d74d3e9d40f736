"""Identity: the key by which resubmission finds a track, the seed that reproduces it, row ids."""

import hashlib
import json
import secrets

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
SEED_BITS = 32
SPARE_SEEDS = 2  # extra tries that a worker may make by itself while it holds the track
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def track_key(
    *,
    owner: str,
    catalog: str,
    brief: str,
    occurrence: int,
    variation: int,
    model_set: str,
) -> str:
    """Return 32 hex digits that name one track permanently.

    `brief` is `Brief.canonical()` (which includes the audio format), `occurrence` counts equal
    briefs of one catalog from 0, `variation` counts the tracks of one brief, `model_set` includes
    its revision.
    """
    parts = [owner, catalog, brief, occurrence, variation, model_set]
    return hashlib.sha256(_COMPACT.encode(parts).encode("utf-8")).hexdigest()[:32]


def seed_of(key: str, try_number: int, *, brief_seed: int | None, variation: int) -> int:
    """Return the seed of one try, in [0, 2**32).

    A seed given in the brief belongs to variation 0 and the first try; other variations and later
    tries are offset from it, as in ACE-Step's own batches.
    """
    if brief_seed is not None:
        return (brief_seed + variation + 1_000_003 * try_number) % (1 << SEED_BITS)
    digest = hashlib.sha256(f"{key}:{try_number}".encode()).digest()
    return int.from_bytes(digest[: SEED_BITS // 8], "big")


def next_seeds(key: str, seed: int, *, tries: int, brief_seed: int | None) -> tuple[int, ...]:
    """Return the derived seeds of the two tries after the one with `seed`.

    Empty if `seed` is none of the first `tries`, or if the brief gives a seed: then the customer
    asked for that one.
    """
    if brief_seed is not None:
        return ()
    numbers = (n for n in range(tries) if seed_of(key, n, brief_seed=None, variation=0) == seed)
    number = next(numbers, None)
    if number is None:
        return ()
    following = range(number + 1, number + 1 + SPARE_SEEDS)
    return tuple(seed_of(key, n, brief_seed=None, variation=0) for n in following)


def new_id(kind: str) -> str:
    """Return an id such as `job_7f3k9x0c2m4n6p8q`: a readable kind and 80 random bits."""
    return f"{kind}_" + "".join(secrets.choice(_ALPHABET) for _ in range(16))
