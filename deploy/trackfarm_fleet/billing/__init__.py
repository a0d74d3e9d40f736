"""Cost of rentals, and of jobs."""
