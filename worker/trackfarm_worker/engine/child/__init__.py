"""Child side: runs in the engine process, the only one with torch."""
