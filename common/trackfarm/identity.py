"""Who a track is: the key that makes resubmission find it, and the seed that makes it again."""

import hashlib
import json

SEED_BITS = 32


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
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


def seed_of(key: str, try_number: int, *, given: int | None, variation: int) -> int:
    """The seed of one try, in [0, 2**32).

    A seed given in the brief belongs to variation 0 and the first try; other variations and
    later tries step away from it, as ACE-Step's own batches do.
    """
    if given is not None:
        return (given + variation + 1_000_003 * try_number) % (1 << SEED_BITS)
    digest = hashlib.sha256(f"{key}:{try_number}".encode()).digest()
    return int.from_bytes(digest[: SEED_BITS // 8], "big")
