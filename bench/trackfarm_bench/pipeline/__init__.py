"""The stages after the engine, encoders and uploads, and how much they delay it."""
