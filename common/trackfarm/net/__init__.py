"""Rules for network addresses, TLS and outgoing requests."""
