"""How long the API takes to answer while a farm works, and after a burst of single calls."""
