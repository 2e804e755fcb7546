"""One file per remedy class; each registers itself (whynan.remedy.registry)."""
