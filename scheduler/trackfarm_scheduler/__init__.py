"""Plans, places, recovers and records: the only process that opens the database."""
