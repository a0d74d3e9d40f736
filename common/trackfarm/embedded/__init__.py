"""A farm on one machine: broker, scheduler and workers as child processes of one process."""
