"""The engine compared with the stock pipeline, and with itself one track at a time."""
