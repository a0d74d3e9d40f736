"""Where machines come from: one port, one module for each kind of provider."""
