"""Reading code: static rules for numerically unsafe training code. Needs no torch.

lint_paths(paths, settings)      every finding in files and folders, in parallel
lint_text(text)                  the findings in one source text
all_rules()                      the rules, by code
"""

from __future__ import annotations

from whynan.lint.engine import lint_text as lint_text
from whynan.lint.rule import all_rules as all_rules
from whynan.lint.settings import Settings as Settings
from whynan.lint.tree import lint_paths as lint_paths
