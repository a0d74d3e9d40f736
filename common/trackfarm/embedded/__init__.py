"""The whole farm on one machine: a broker, the scheduler and workers as children of one process."""
