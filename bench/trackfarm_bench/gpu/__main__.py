"""Entry point of `python -m trackfarm_bench.gpu`."""

import typer

from trackfarm_bench.gpu.command import gpu

if __name__ == "__main__":
    typer.run(gpu)
