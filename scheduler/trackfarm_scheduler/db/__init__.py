"""The database: its tables, its connection, and the modules that alone write each state."""
