"""What a person looks at after a run: one HTML file with its plots."""
