"""What stands behind an engine: encoders, uploads, and how little they may keep it waiting."""
