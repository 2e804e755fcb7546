"""Comments that switch rules off.

x = torch.log(p)  # whynan: ignore[WN101]      this rule, on the lines of this expression
x = torch.log(p)  # whynan: ignore             all rules
# whynan: ignore-file[WN101, WN102]            these rules, in the whole file; without a list, all
"""

from __future__ import annotations

import re

from whynan.case.findings import Finding

COMMENT = re.compile(r"#.*?\bwhynan:\s*ignore(?P<file>-file)?(?:\[(?P<codes>[^\]]*)\])?", re.IGNORECASE)


class Ignores:
    """The comments of one text. `file` is True where the whole file is to be left alone."""

    def __init__(self, text: str) -> None:
        self.file: bool | frozenset[str] = frozenset()
        self.lines: dict[int, frozenset[str] | None] = {}
        if "whynan" not in text:
            return
        for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
            found = COMMENT.search(line)
            if found is None:
                continue
            listed = found["codes"]
            codes = None if listed is None else frozenset(c.strip() for c in listed.split(",") if c.strip())
            if found["file"]:
                known = self.file if isinstance(self.file, frozenset) else frozenset()
                self.file = True if codes is None or self.file is True else known | codes
            else:
                self.lines[number] = codes

    def covers(self, finding: Finding) -> bool:
        """Whether a comment on one of the finding's lines, or for the file, names its rule by code or name."""
        if self.file is True or _names(self.file, finding):
            return True
        places = range(finding.line, finding.end_line + 1)
        return any(n in self.lines and _names(self.lines[n], finding) for n in places)


def _names(codes: frozenset[str] | None | bool, finding: Finding) -> bool:
    if codes is None:
        return True
    return not isinstance(codes, bool) and any(c.upper() == finding.code or c == finding.name for c in codes)
