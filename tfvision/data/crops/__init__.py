"""What a network sees of an image: crops, masks, pieces, background removed."""
