"""Parent side: runs in the worker process, imports no torch."""
