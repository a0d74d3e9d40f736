"""Sends the tracks of a plain Celery farm and waits for their results, as a user's script would.
Prints the times of the first send and of each tenth of the results."""

import json
import sys
import time

from trackfarm_bench.load.plain_farm import make


def main(tracks: int) -> None:
    began = time.time()
    sent = [
        make.delay({"prompt": f"calm piano, variant {i}", "duration": 30}) for i in range(tracks)
    ]
    marks = []
    for number, result in enumerate(sent, 1):
        result.get()
        if number % max(tracks // 10, 1) == 0:
            marks.append(time.time())
    print(json.dumps({"began": began, "marks": marks}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
