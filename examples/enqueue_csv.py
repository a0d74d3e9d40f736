"""Send a CSV of briefs to the farm.

python examples/enqueue_csv.py catalog.csv --priority 5 --deadline-hours 6 --budget 20
"""

import argparse
import sys
import time
from datetime import timedelta

from trackfarm import CatalogError, Farm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("catalog")
    parser.add_argument("--priority", type=int, default=0)
    parser.add_argument("--deadline-hours", type=float)
    parser.add_argument("--budget", type=float)
    arguments = parser.parse_args()
    deadline = timedelta(hours=arguments.deadline_hours) if arguments.deadline_hours else None
    began = time.monotonic()
    with Farm() as farm:
        try:
            job = farm.submit(
                arguments.catalog,
                priority=arguments.priority,
                deadline=deadline,
                budget=arguments.budget,
            )
        except CatalogError as error:
            sys.exit(f"{error}\n{error.count} mistakes; nothing was sent")
    print(f"{job.id}: {job.counts.total} tracks in {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
