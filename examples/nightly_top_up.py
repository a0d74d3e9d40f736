"""Keeps a playlist at a number of tracks; run it every night, or twice: the second finds the first.

python examples/nightly_top_up.py lobby "calm lobby piano, warm" music --tracks 200
"""

import argparse
import datetime
from pathlib import Path

from trackfarm import Catalog, Farm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("playlist")
    parser.add_argument("prompt")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tracks", type=int, default=200)
    parser.add_argument("--duration", type=float, default=180)
    parser.add_argument("--model-set")
    said = parser.parse_args()
    tonight = f"{said.playlist} {datetime.datetime.now().astimezone().date()}"
    with Farm() as farm:
        nights = [job for job in farm.jobs(500) if job.catalog.startswith(f"{said.playlist} ")]
        there = sum(j.counts.done + j.counts.pending + j.counts.leased for j in nights)
        job = next((job for job in nights if job.catalog == tonight), None)
        if job is None and (missing := said.tracks - there) > 0:
            brief = {"prompt": said.prompt, "duration": said.duration, "variations": missing}
            catalog = Catalog.from_rows([brief], name=tonight, model_set=said.model_set)
            job = farm.submit(catalog, idempotency_key=tonight.replace(" ", "-"))
        if job is None:
            print(f"{said.playlist} has {there} tracks")
            return
        report = job.wait().download(said.folder / tonight)
        print(f"{job.id}: {report.files} tracks in {report.directory}, {report.fetched} fetched")


if __name__ == "__main__":
    main()
