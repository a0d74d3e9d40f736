"""A child for the supervisor's tests: reports that it is ready, and exits on SIGTERM.

`stand_in.py NAME FOLDER [stubborn|failing]` creates `FOLDER/NAME.ready` and, on SIGTERM, adds
its name to `FOLDER/ends`. A stubborn one ignores SIGTERM; a failing one prints an error and exits.
"""

import signal
import sys
from pathlib import Path
from types import FrameType


def main(name: str, folder: Path, manner: str) -> int:
    if manner == "failing":
        print(f"{name} cannot find its music", flush=True)
        return 7

    def end(number: int, frame: FrameType | None) -> None:
        if manner != "stubborn":
            with (folder / "ends").open("a") as ends:
                ends.write(name + "\n")
            sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    (folder / f"{name}.ready").write_text("ready")
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
