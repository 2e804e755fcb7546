"""`whynan check SCRIPT`: the script's own set-up, its own loader, one of its own steps; then it is ended."""

from __future__ import annotations

from whynan.checking.run import Checking as Checking
