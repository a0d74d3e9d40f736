"""Makes one brief with two seeds and puts the files side by side.

python examples/ab_seeds.py "calm lobby piano" 17 42 compared --bpm 80
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
    said = parser.parse_args()
    brief = {"prompt": said.prompt, "duration": said.duration, "bpm": said.bpm}
    rows = [brief | {"seed": seed, "name": f"seed {seed}"} for seed in said.seeds]
    catalog = Catalog.from_rows(rows, name=f"seeds of {said.prompt}", model_set=said.model_set)
    said.folder.mkdir(parents=True, exist_ok=True)
    with Farm() as farm:
        job = farm.submit(catalog, lane="interactive").wait()
        for letter, track in zip("AB", job.tracks(), strict=True):
            path = track.download(said.folder / f"{letter} {track.name}.mp3")
            print(f"{letter}: {path}")


if __name__ == "__main__":
    main()
