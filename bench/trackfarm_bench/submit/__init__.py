"""Time and memory to submit a large catalog."""
