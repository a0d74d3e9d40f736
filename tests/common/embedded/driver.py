"""A process that supervises two stand-ins and the real broker until it is stopped or killed.

Prints one JSON object with the children's pids when they are up.
"""

import json
import os
import sys
import time
from pathlib import Path

from tests.common.embedded.farms import stand_in
from trackfarm.embedded.broker import answers_ping, broker_program, write_config
from trackfarm.embedded.farm import choose_port
from trackfarm.embedded.home import Home, lock_home
from trackfarm.embedded.process import ChildSpec
from trackfarm.embedded.signals import SignalFlags
from trackfarm.embedded.supervisor import Supervisor

PASSWORD = "a-password-of-the-tests"


def specs(folder: Path) -> list[ChildSpec]:
    port = choose_port(0)
    config = write_config(folder / "broker", port=port, password=PASSWORD)
    broker = ChildSpec(
        name="broker",
        argv=(broker_program(), str(config)),
        env=dict(os.environ),
        stage=0,
        healthy=lambda: answers_ping(port, PASSWORD),
        stop_seconds=5,
    )
    return [
        broker,
        stand_in("scheduler", folder, stage=1),
        stand_in("worker", folder, stage=2),
    ]


def main(folder: Path) -> None:
    home = Home(folder / "home")
    home.create()
    with SignalFlags() as interrupts, lock_home(home) as lock:
        supervisor = Supervisor(
            specs(folder),
            logs=folder / "logs",
            tell=lambda text: print(text, file=sys.stderr, flush=True),
            is_wanted=lambda: not interrupts.requested,
            keep_open=(lock,),
        )
        try:
            supervisor.start_all(within=30)
            print(json.dumps(supervisor.pids), flush=True)
            while not interrupts.requested:
                supervisor.tick()
                time.sleep(0.05)
        finally:
            supervisor.stop_all(is_forced=lambda: interrupts.forced)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
