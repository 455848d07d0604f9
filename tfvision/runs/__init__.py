"""One run: training it, and evaluating, predicting, exporting and submitting what it learnt."""
