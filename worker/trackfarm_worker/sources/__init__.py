"""Source audio of tracks: fetched and decoded in a child process that may be killed."""
