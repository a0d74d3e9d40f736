"""Drop-in replacement for ACE-Step's API server, for its clients as they are."""
