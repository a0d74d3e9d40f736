"""Providers of machines: one protocol, one module per provider."""
