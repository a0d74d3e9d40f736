"""`python -m trackfarm_parity`: build small models with ACE-Step's own code, make the same tracks with
it and with the engine, and print the differences."""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trackfarm_parity import engine_side
from trackfarm_parity.cases import ALL, cases_of
from trackfarm_parity.engine_side import Latents, SmallEngine, difference, relative

BATCH = 9


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(arguments.work or scratch)
        work.mkdir(parents=True, exist_ok=True)
        engine_side.use_one_thread()
        engine_side.write_parts(work)
        if not arguments.again:
            _run_upstream(arguments.upstream, arguments.python, arguments.path, work)
        problems = [line for model in ALL for line in _compare(model, work, arguments.golden)]
    print("", *problems or ["no difference is above its limit"], sep="\n")
    return 1 if problems else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("upstream", help="a checkout of ACE-Step 1.5")
    parser.add_argument("--python", default=sys.executable, help="Python of its environment")
    parser.add_argument("--path", default="", help="a folder of packages that go before others")
    parser.add_argument("--golden", type=Path, help="a folder to write ACE-Step's latents to")
    parser.add_argument("--work", help="a folder to keep the models in")
    parser.add_argument("--again", action="store_true", help="use what ACE-Step made in --work")
    return parser.parse_args()


def _run_upstream(upstream: str, python: str, packages: str, work: Path) -> None:
    """Run ACE-Step's code in a process of its own: it needs other versions of libraries."""
    here = Path(__file__).parent.parent
    path = os.pathsep.join(filter(None, (packages, upstream, str(here))))
    command = [python, "-m", "trackfarm_parity.upstream", str(work), *ALL]
    subprocess.run(
        command,
        check=True,
        env=os.environ | {"PYTHONPATH": path, "LOGURU_LEVEL": "ERROR"},
        cwd=work,
    )


def _compare(model: str, work: Path, golden: Path | None) -> list[str]:
    """Print the table of a model and return the cases that are above their limits."""
    engine = engine_side.small_engine(model, work)
    cases = list(cases_of(model))
    with np.load(work / f"{model}.npz", allow_pickle=False) as file:
        theirs = {case.name: file[f"{case.name}/latents"] for case in cases}
    if golden is not None:
        golden.mkdir(parents=True, exist_ok=True)
        kept = {case.name: theirs[case.name] for case in cases if case.is_golden(model)}
        np.savez_compressed(golden / f"{model}.npz", **kept)
    alone = [engine.latents([case])[0] for case in cases]
    print(f"\n| {model} | alone | relative | in a batch of {BATCH} |\n| --- | --- | --- | --- |")
    problems = []
    for case, one, batched in zip(cases, alone, _batched(engine, model), strict=True):
        expected = theirs[case.name]
        numbers = difference(one, expected), relative(one, expected), difference(batched, expected)
        print(f"| {case.name} | {' | '.join(f'{number:.1e}' for number in numbers)} |")
        if max(numbers[0], numbers[2]) > case.limit:
            problems.append(f"{model}: {case.name} is above {case.limit:.0e}")
    return problems


def _batched(engine: SmallEngine, model: str) -> Iterator[Latents]:
    cases = list(cases_of(model))
    for first in range(0, len(cases), BATCH):
        # The last batch is filled up from the beginning.
        batch = (cases[first:] + cases)[:BATCH]
        yield from engine.latents(batch)[: len(cases) - first]


if __name__ == "__main__":
    sys.exit(main())
