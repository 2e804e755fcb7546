"""The page of all remedies, from their files: `python -m whynan.remedy.reference > docs/reference/remedies.md`."""

from __future__ import annotations

from collections.abc import Iterator

from whynan.remedy import registry
from whynan.remedy.preferences import PREFER
from whynan.remedy.registry import Kind

HEAD = """# Remedies

A remedy is a change of the program that addresses a cause. Each has a file in `src/whynan/remedy/remedies/`, which
proposes patches of the source, and a live form: the same change made in the running program, so that it can be tried in
the failing iteration before any patched copy is run. A report calls a patch *verified* only after one of the two: the
patched program was run again from its start, or, where that takes too long, the patch was executed in the running loop
over 50 iterations beyond the failure and left those before it as they were.

*safe* means that values stay what they were wherever they were finite; *unsafe* that training changes. Causes are those
whose reports ask for the remedy, the ones that ask first in front.

This page is written by `python -m whynan.remedy.reference`.
"""


def reference() -> str:
    """The whole page, Markdown."""
    kinds = registry.load()
    return "\n".join([HEAD, *table(kinds), *(line for kind in kinds.values() for line in section(kind))]) + "\n"


def table(kinds: dict[str, Kind]) -> Iterator[str]:
    yield "| remedy | what | safety | causes |"
    yield "|---|---|---|---|"
    for kind in kinds.values():
        asking = sorted((names.index(kind.name), cause) for cause, names in PREFER.items() if kind.name in names)
        causes = ", ".join(cause for _, cause in asking) or "tried because it is popular"
        yield f"| [{kind.name}](#{kind.name}) | {kind.title} | {kind.safety} | {causes} |"


def section(kind: Kind) -> Iterator[str]:
    """The docstring of the file, its underlined headings as bold words."""
    title, *rest = kind.page.splitlines()
    yield f"\n## {kind.name}\n"
    text = title.partition(":")[2].strip()
    yield text[:1].upper() + text[1:]
    for line, following in zip(rest, [*rest[1:], ""]):
        if following and set(following) == {"-"}:
            yield f"**{line}.**"
        elif not line or set(line) != {"-"}:
            yield line


if __name__ == "__main__":
    print(reference(), end="")
