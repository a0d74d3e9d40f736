"""Pure decisions: no I/O, no database (import-linter checks it)."""
