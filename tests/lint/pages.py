"""Parts of a rule's page, for tests."""

from __future__ import annotations

import re
import textwrap


def section(page: str, heading: str) -> str:
    """The text under a heading, without its indentation; "" where there is none."""
    found = re.search(rf"^{re.escape(heading)}\n-+\n(.*?)(?=^\S[^\n]*\n-+\n|\Z)", page, re.DOTALL | re.MULTILINE)
    return textwrap.dedent(found.group(1)).strip("\n") if found else ""
