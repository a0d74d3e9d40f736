"""The doors that clients of other music servers know: ACE-Step's own API, unchanged."""
