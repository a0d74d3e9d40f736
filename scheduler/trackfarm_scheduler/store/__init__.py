"""The database: tables, how it is opened, and the one owner of each state machine's rows."""
