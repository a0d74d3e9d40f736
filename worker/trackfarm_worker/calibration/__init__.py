"""What this machine can do with its model set: measured once, told to the scheduler at joining."""
