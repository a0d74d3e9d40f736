"""Where the README's numbers come from, each by one command: `python -m trackfarm_bench --help`."""
