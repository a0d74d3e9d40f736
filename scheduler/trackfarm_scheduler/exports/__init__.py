"""A job's tracks as one stream: an archive, a table, a playlist; nothing of it is held."""
