"""`python -m trackfarm.cli`."""

from trackfarm.cli import main

main()
