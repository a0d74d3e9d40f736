"""How many tracks a second the scheduler can hand out and take back, and what each costs it."""
