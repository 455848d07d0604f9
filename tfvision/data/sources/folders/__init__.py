"""Folders whose names say what is what: images beside masks, a folder a class, labels in names."""
