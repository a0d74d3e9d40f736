"""What the engine is worth: against the stock pipeline, and against itself one by one."""
