"""Commands added to the command line when the worker package is installed."""
