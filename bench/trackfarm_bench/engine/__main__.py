"""Entry point of `python -m trackfarm_bench.engine`."""

import typer

from trackfarm_bench.engine.command import engine

if __name__ == "__main__":
    typer.run(engine)
