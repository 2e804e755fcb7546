"""Before it happens: search a function for inputs that break it, look over data, settings and initialization."""
