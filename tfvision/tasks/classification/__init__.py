"""All that only classification needs."""
