"""Simulation of a farm: the scheduler's own pure decisions under a simulated clock, on machines
that are slow, late, preempted or broken."""
