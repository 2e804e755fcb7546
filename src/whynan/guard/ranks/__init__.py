"""Several processes of one run: they stop, go back, and decide together."""
