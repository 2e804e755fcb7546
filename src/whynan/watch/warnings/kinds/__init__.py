"""One file per kind of warning."""
