"""Entry point of `python -m trackfarm_sim`: the same as `trackfarm simulate`."""

import typer

from trackfarm_sim.command import simulate

if __name__ == "__main__":
    typer.run(simulate)
