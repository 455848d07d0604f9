"""The audit, which reads only what a scan kept: duplicates, leaks, masks of another image."""
