"""The path of a bad value as a drawing: boxes in rows by data flow, edges between them, dull stretches folded.

A row holds what is equally far from the beginning, so time runs downwards. An edge to the next row is a curve; one
that passes other rows (a residual connection) runs in a lane of its own on the left. Only geometry; the template draws.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...case.facts import PathStep
from .. import words

WIDTH, HEIGHT = 290, 50  # of a box
GAP_X, GAP_Y, LANE, MARGIN = 30, 30, 16, 14
_BAD = ("born", "carried", "placed")  # states of what is not finite
SPREAD = 22  # between the tips of edges that arrive at one box
SHORT = 12  # a path of so many boxes is not folded
MOST = 150  # boxes of the unfolded drawing; longer paths stay folded


@dataclass(frozen=True, kw_only=True)
class Box:
    """One op (`step` set, `index` its position in the path) or a fold of `hidden` ops. x, y: upper left corner."""

    x: int
    y: int
    index: int
    step: PathStep | None = None
    hidden: int = 0


@dataclass(frozen=True, kw_only=True)
class Edge:
    """From the lower side of one box to the upper side of another, at `tip`. `bad`: it brings a non-finite value."""

    d: str
    tip: tuple[int, int]
    bad: bool


@dataclass(frozen=True, kw_only=True)
class Drawing:
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]
    width: int
    height: int


def drawing(path: tuple[PathStep, ...], *, folded: bool) -> Drawing:
    """The drawing of a path. Old reports know no inputs: then every step reads the one before it."""
    items, inputs, bad = _items(path, folded)
    rows = _rows(inputs)
    columns = _columns(inputs, rows)
    long = [(a, b) for b, sources in enumerate(inputs) for a in sources if rows[b] - rows[a] > 1]
    lanes = _lanes(long, rows)
    left = MARGIN + LANE * (max(lanes.values(), default=-1) + 1)
    boxes = [
        Box(
            x=left + column * (WIDTH + GAP_X),
            y=MARGIN + row * (HEIGHT + GAP_Y),
            index=index,
            step=path[index] if not hidden else None,
            hidden=hidden,
        )
        for (index, hidden), row, column in zip(items, rows, columns)
    ]
    edges = []
    for b, sources in enumerate(inputs):
        for k, a in enumerate(sorted(sources, key=lambda a: ((a, b) not in lanes, boxes[a].x))):
            lane = left - LANE * (lanes[a, b] + 1) if (a, b) in lanes else None
            aside = round(SPREAD * (k - (len(sources) - 1) / 2))
            edges.append(_edge(boxes[a], boxes[b], lane, aside, (a, b) in bad))
    return Drawing(
        boxes=tuple(boxes),
        edges=tuple(sorted(edges, key=lambda edge: edge.bad)),  # the bad ones on top
        width=max((box.x for box in boxes), default=0) + WIDTH + MARGIN,
        height=max((box.y for box in boxes), default=0) + HEIGHT + MARGIN,
    )


def _items(
    path: tuple[PathStep, ...], folded: bool
) -> tuple[list[tuple[int, int]], list[list[int]], set[tuple[int, int]]]:
    """(position of the first step, number of hidden steps) of every box, which boxes each one reads, and between
    which two a value goes that is not finite."""
    items: list[tuple[int, int]] = []
    owner: list[int] = []  # of every step: its box
    short = len(path) <= (SHORT if folded else MOST)
    for line in [words.PathLine(step=step) for step in path] if short else words.path_lines(path):
        items.append((len(owner), line.hidden))
        owner += [len(items) - 1] * (line.hidden or 1)
    known = any(step.inputs for step in path)
    inputs: list[set[int]] = [set() for _ in items]
    bad: set[tuple[int, int]] = set()
    for i, step in enumerate(path):
        for source in step.inputs if known else (i - 1,):
            if 0 <= source < i and owner[source] != owner[i]:
                inputs[owner[i]].add(owner[source])
                if path[source].state in _BAD:
                    bad.add((owner[source], owner[i]))
    return items, [sorted(sources) for sources in inputs], bad


def _rows(inputs: list[list[int]]) -> list[int]:
    """The longest way from a beginning; what nothing leads to stands just above its first reader."""
    rows: list[int] = []
    for sources in inputs:
        rows.append(max((rows[source] + 1 for source in sources), default=0))
    for i, sources in enumerate(inputs):
        readers = [rows[b] for b, others in enumerate(inputs) if i in others]
        if not sources and readers:
            rows[i] = max(0, min(readers) - 1)
    return rows


def _columns(inputs: list[list[int]], rows: list[int]) -> list[int]:
    """Every box below one of its inputs where that place is free, else further to the right."""
    columns = [0] * len(inputs)
    taken: set[tuple[int, int]] = set()
    for i in sorted(range(len(inputs)), key=lambda i: (rows[i], not inputs[i], i)):
        wanted = [columns[source] for source in inputs[i]] + list(range(len(inputs)))
        columns[i] = next(column for column in wanted if (rows[i], column) not in taken)
        taken.add((rows[i], columns[i]))
    return columns


def _lanes(edges: list[tuple[int, int]], rows: list[int]) -> dict[tuple[int, int], int]:
    """The lane of every long edge, the short ones inside: two edges share a lane where they do not overlap."""
    lanes: dict[tuple[int, int], int] = {}
    for a, b in sorted(edges, key=lambda edge: rows[edge[1]] - rows[edge[0]]):
        clash = {lanes[c, d] for c, d in lanes if rows[c] < rows[b] and rows[a] < rows[d]}
        lanes[a, b] = next(lane for lane in range(len(edges)) if lane not in clash)
    return lanes


def _edge(source: Box, target: Box, lane: int | None, aside: int, bad: bool) -> Edge:
    """The edge arrives `aside` of the middle, so that two that meet stay two."""
    x1, y1, x2, y2 = source.x + WIDTH // 2, source.y + HEIGHT, target.x + WIDTH // 2 + aside, target.y
    if lane is None:
        middle = (y1 + y2) // 2
        d = f"M{x1} {y1}C{x1} {middle} {x2} {middle} {x2} {y2 - 6}"
    else:  # down, left into the lane, down, right, down; with round corners
        d = f"M{x1} {y1}v2q0 8-8 8H{lane + 8}q-8 0-8 8V{y2 - 28}q0 8 8 8H{x2 - 8}q8 0 8 8V{y2 - 6}"
    return Edge(d=d, tip=(x2, y2), bad=bad)
