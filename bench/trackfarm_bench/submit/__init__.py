"""How long it takes to submit a large catalog, and how much memory."""
