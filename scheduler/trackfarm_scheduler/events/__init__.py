"""Live events: one reader of the database, any number of subscribers."""
