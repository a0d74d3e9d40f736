"""Background roles of the scheduler, one loop each."""
