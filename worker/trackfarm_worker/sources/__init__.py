"""Music that tracks are made from: fetched and decoded in a child process that may be killed."""
