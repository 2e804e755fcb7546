"""The reference pages of the rules, from their docstrings: `python -m whynan.lint.reference docs/reference/rules`."""

from __future__ import annotations

import sys
from pathlib import Path

from whynan.lint.rule import HEADINGS, Rule, all_rules

GROUPS = {
    "1": "Logarithms",
    "2": "Roots and powers",
    "3": "Divisions",
    "4": "Exponentials and inverse functions",
    "5": "Losses, softmax, reductions, masks",
    "6": "The training step",
    "7": "Data, memory, precision",
}
MADE = "<!-- made by `python -m whynan.lint.reference docs/reference/rules` from the docstrings of the rules -->\n"


def pages() -> dict[str, str]:
    """File name -> text of every page, the index first."""
    return {"index.md": _index()} | {f"{rule.code}.md": _page(rule) for rule in all_rules().values()}


def _index() -> str:
    out = [MADE, "# Rules of `whynan lint`", ""]
    for digit, title in GROUPS.items():
        out += [f"## {title}", "", "| code | name | finds |  |", "|---|---|---|---|"]
        for rule in all_rules().values():
            if rule.code[2] == digit:
                off = "preview" if rule.preview else ""
                out.append(f"| [{rule.code}]({rule.code}.md) | {rule.name} | {rule.title} | {off} |")
        out.append("")
    return "\n".join(out).rstrip("\n") + "\n"


def _page(rule: Rule) -> str:
    """The docstring as Markdown: headings with marks, examples in fences."""
    title, *lines = rule.page.split("\n")
    out = [MADE, f"# {rule.code} {rule.name}: {title}", ""]
    if rule.preview:
        out += ["A preview rule: off unless it is selected by its code, or with `--preview`.", ""]
    inside = ""
    for at, line in enumerate(lines):
        if line in HEADINGS and at + 1 < len(lines) and set(lines[at + 1]) == {"-"}:
            out += _fence(inside)
            inside = line
            out += [f"## {line}", "", *_fence(inside)]
        elif not (line and set(line) == {"-"}):
            out.append(line.removeprefix("    ") if inside in ("Bad", "Good") else line)
    causes = ", ".join(f"`{c}`" for c in rule.causes)
    remedies = ", ".join(f"`{r}`" for r in rule.remedies)
    out += ["", f"Causes: {causes}. Remedies: {remedies}. See `whynan explain`.", ""]
    return _tidy(out)


def _fence(heading: str) -> list[str]:
    """Opens or closes the block of an example."""
    return ["```" + ("python" if heading else "")] if heading in ("Bad", "Good") else []


def _tidy(lines: list[str]) -> str:
    """Without blank lines at the edges of blocks, and with the language at opening fences only."""
    out: list[str] = []
    open_ = False
    for line in lines:
        if line.startswith("```"):
            while out and not out[-1] and open_:
                out.pop()
            out += ["```", ""] if open_ else ["```python"]
            open_ = not open_
        elif line or (out and out[-1] and not out[-1].startswith("```python")):
            out.append(line)
    return "\n".join(out).rstrip("\n") + "\n"


def main(folder: Path) -> None:
    """Write all pages into a folder, and take out those of rules that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    made = pages()
    for old in folder.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference/rules"))
