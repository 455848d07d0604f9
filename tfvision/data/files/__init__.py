"""Reading and writing single files: images, tables, damage, timeouts."""
