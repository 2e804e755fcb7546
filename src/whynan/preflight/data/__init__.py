"""Looking through the data before a run: one pass over the user's own loader."""
