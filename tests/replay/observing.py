"""Run a small step under the scope, and find lines of a test file by the comment at their end."""

from __future__ import annotations

import inspect

from whynan.replay.scope import Scope


def observe(step, roots=None, **options):
    """The trace of `step()` and what it returned. User files are the test files."""
    with Scope(is_user_file=lambda file: "/tests/" in file, roots=roots and (lambda: roots), **options) as scope:
        result = step()
    assert scope.trace.errors == []
    return scope.trace, result


def find(step, roots=None):
    """The finding for what `step()` returned, and the trace."""
    trace, result = observe(step, roots)
    return trace.births_reaching(result), trace


def line(text):
    """Number of the only line of the calling file that ends with `# <text>`."""
    with open(inspect.stack()[1].filename) as file:
        found = [n for n, content in enumerate(file, 1) if content.rstrip().endswith("# " + text)]
    assert len(found) == 1
    return found[0]
