"""Comparison of the engine with ACE-Step's own code; README.md says how to run it."""
