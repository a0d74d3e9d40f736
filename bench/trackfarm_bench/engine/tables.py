"""Results as Markdown."""

from collections.abc import Sequence

from trackfarm_bench.engine.exactness import Difference
from trackfarm_bench.engine.ours import EngineResult


def exactness_table(rows: Sequence[tuple[str, Difference]]) -> str:
    head = ("what", "latent, max", "latents, relative L2", "cosine", "audio, max")
    return markdown(
        head,
        [
            (
                name,
                f"{difference.latent:.1e}",
                f"{difference.relative:.1e}",
                f"{difference.cosine:.7f}",
                f"{difference.audio:.1e}" if difference.audio else "-",
            )
            for name, difference in rows
        ],
    )


def speed_table(rows: Sequence[tuple[str, EngineResult]]) -> str:
    head = ("what", "tracks/h", "DiT passes per track", "condition", "denoise", "decode", "rest")
    return markdown(head, [(name, *_speeds(result)) for name, result in rows])


def _speeds(result: EngineResult) -> tuple[str, ...]:
    stages = (result.condition, result.denoise, result.decode)
    rest = result.seconds - sum(stages)
    shares = (
        [f"{part / result.seconds:.0%}" for part in (*stages, rest)] if any(stages) else ["-"] * 4
    )
    return (f"{result.per_hour:,.0f}", f"{result.passes / result.tracks:.2f}", *shares)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with text in the first column and numbers in the others."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))
