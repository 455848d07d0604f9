"""What is fitted out of fold: post-processing, temperature, joining of pieces, pseudo-labels."""
