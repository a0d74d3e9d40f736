"""Commands that a machine with a worker brings to the command line."""
