"""A farm, its jobs and their tracks as Python objects, for programs that block and that await."""
