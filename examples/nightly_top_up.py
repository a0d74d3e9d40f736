"""Fill a playlist up to a number of tracks. A second run in the same night finds the first one.

python examples/nightly_top_up.py lobby "calm solo piano, warm" music --tracks 200
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
    arguments = parser.parse_args()
    tonight = f"{arguments.playlist} {datetime.datetime.now().astimezone().date()}"
    with Farm() as farm:
        nights = [job for job in farm.jobs(500) if job.catalog.startswith(f"{arguments.playlist} ")]
        there = sum(j.counts.done + j.counts.pending + j.counts.leased for j in nights)
        job = next((job for job in nights if job.catalog == tonight), None)
        if job is None and (missing := arguments.tracks - there) > 0:
            brief = {
                "prompt": arguments.prompt,
                "duration": arguments.duration,
                "variations": missing,
            }
            catalog = Catalog.from_rows([brief], name=tonight, model_set=arguments.model_set)
            job = farm.submit(catalog, idempotency_key=tonight.replace(" ", "-"))
        if job is None:
            print(f"{arguments.playlist} has {there} tracks")
            return
        report = job.wait().download(arguments.folder / tonight)
        print(f"{job.id}: {report.files} tracks in {report.directory}, {report.fetched} fetched")


if __name__ == "__main__":
    main()
