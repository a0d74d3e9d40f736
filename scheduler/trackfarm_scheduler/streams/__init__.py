"""Events as they happen: one reader of the database, any number of listeners."""
