"""Documents compared with the code: settings, links, paths and log events."""
