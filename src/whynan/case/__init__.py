"""The case: what is known about one run, as data, in memory and on disk. Never imports torch."""
