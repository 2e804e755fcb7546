"""One change at a time, executed in the user's own loop from an earlier snapshot. Each file is one change.

A change registers itself with `experiment` (base.py). It never edits the user's objects for good: what it sets up is
undone by `inquest.cleanup` after the attempt, and the next attempt restores the snapshot anyway.
"""
