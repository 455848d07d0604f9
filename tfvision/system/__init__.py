"""What is installed, which models there are, how fast they are."""
