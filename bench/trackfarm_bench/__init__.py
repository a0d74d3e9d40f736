"""Benchmarks behind the README's numbers, one command each: `python -m trackfarm_bench --help`."""
