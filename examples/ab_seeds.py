"""Make one brief with two seeds and put the files side by side.

python examples/ab_seeds.py "calm solo piano" 17 42 compared --bpm 80
"""

import argparse
from pathlib import Path

from trackfarm import Catalog, Farm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prompt")
    parser.add_argument("seeds", type=int, nargs=2)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--duration", type=float, default=30)
    parser.add_argument("--bpm", type=int)
    parser.add_argument("--model-set")
    arguments = parser.parse_args()
    brief = {"prompt": arguments.prompt, "duration": arguments.duration, "bpm": arguments.bpm}
    rows = [brief | {"seed": seed, "name": f"seed {seed}"} for seed in arguments.seeds]
    catalog = Catalog.from_rows(
        rows, name=f"seeds of {arguments.prompt}", model_set=arguments.model_set
    )
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with Farm() as farm:
        job = farm.submit(catalog, lane="interactive").wait()
        for letter, track in zip("AB", job.tracks(), strict=True):
            path = track.download(arguments.folder / f"{letter} {track.name}.mp3")
            print(f"{letter}: {path}")


if __name__ == "__main__":
    main()
