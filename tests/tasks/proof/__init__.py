"""Tasks that the toolkit does not have, each in one file, and what shows that they are whole."""
