"""The user's own files: the script, the modules beside it that it imports, and the file of the birth."""

from __future__ import annotations

import ast
from pathlib import Path

from whynan.case.facts import Report
from whynan.remedy.source import Source
from whynan.remedy.trials import Script

MOST_FILES = 40


def project(script: Script) -> list[Source]:
    """The script first, then local modules in the order they are imported. Files that do not parse are left out."""
    found: dict[Path, Source] = {}
    waiting = [script.path.resolve()]
    while waiting and len(found) < MOST_FILES:
        path = waiting.pop(0)
        if path in found:
            continue
        source = read(script, path)
        if source is not None:
            found[path] = source
            waiting += local_imports(source, script)
    return list(found.values())


def read(script: Script, path: Path) -> Source | None:
    path = path.resolve()
    if not path.is_relative_to(script.root) or "site-packages" in path.parts:
        return None
    try:
        return Source.read(path, path.relative_to(script.root).as_posix())
    except (OSError, SyntaxError, ValueError):
        return None


def local_imports(source: Source, script: Script) -> list[Path]:
    """Files that the import statements of a file lead to, in its folder, the script's folder, and the root."""
    out = []
    for node in ast.walk(source.tree):
        names: list[str] = []
        folders = [script.path.resolve().parent, script.root]
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                folders = [source.path.resolve().parents[node.level - 1]]
            module = node.module or ""
            names = [module] if module else []
            names += [f"{module}.{a.name}" if module else a.name for a in node.names]
        for name in names:
            for folder in folders:
                stem = folder.joinpath(*name.split("."))
                out += [p for p in (stem.with_suffix(".py"), stem / "__init__.py") if p.is_file()]
    return [p.resolve() for p in out]


def of_birth(report: Report, sources: list[Source], script: Script) -> Source | None:
    """The file of the birth, matched by path; the script where the birth has none."""
    if report.birth is None or not report.birth.file:
        return sources[0] if sources else None
    given = Path(report.birth.file)
    for base in (Path("."), script.root, script.cwd, script.path.parent):
        path = (base / given).resolve()
        for source in sources:
            if source.path.resolve() == path:
                return source
    same_name = [s for s in sources if s.path.name == given.name]
    if len(same_name) == 1:
        return same_name[0]
    return read(script, given)
