"""Early warnings: what grows, before it overflows. One file per kind under `kinds`, which registers itself."""
