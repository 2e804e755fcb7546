"""Whether a vector may be all zeros in practice: what norms and normalizations have to expect."""

from __future__ import annotations

import ast
import re

from whynan.lint.file import File
from whynan.lint.meaning import behind, through
from whynan.lint.values import range_of
from whynan.remedy import flow
from whynan.remedy.form import SELECTING, Form

OUTPUT = re.compile(r"pred|output|hidden|latent|noise|logit|embed|feat|model", re.IGNORECASE)
SHAPE = re.compile(
    r"direction|(?<![a-z])(dirs?|rays?|rot|rotations?|eye|gravity)(?![a-z])|ax[ie]s|normal|quat|weight|kernel|basis|camera",
    re.IGNORECASE,
)  # what points somewhere by its meaning
PAIR = re.compile(
    r"(^|[._\[])(\w*_)?([a-z]+_?[ijkl]{2,3}(_norm)?|edge_?\w*|bonds?|disp\w*)(?![a-z])", re.IGNORECASE
)  # from one atom or node to its neighbour
PLACE = re.compile(
    r"pos(ition)?s?(?![a-z])|coord|xyz|atom|point|elec|nucle|cent(er|re)|vert(ex|ices)|landmark|joint", re.IGNORECASE
)
NEIGHBOUR = re.compile(r"^(\w+?)_?(i|j|row|col|src|dst|source|target)$")  # x_i - x_j: the two ends of an edge


def may_vanish(file: File, f: Form | None, depth: int = 0) -> bool:
    """Whether a vector is one that can be all zeros: an argument, a difference, something masked or looked up.

    What a layer gives, or random numbers, is not zero in practice, although nothing forbids it.
    """
    if f is None or depth > 6:
        return False
    if apart(file, f) or _entry(file, f):
        return False
    f = through(file, f)
    if f.op in RANDOM:
        return False
    if f.op == "sub" or _layer_keeps_zero(file, f, depth):
        return True
    if f.op == "name" and isinstance(f.node, ast.Name):
        scope = file.scope(f.node)
        given = f.node.id in flow.arguments(scope) and not flow.bindings(file, scope, f.node.id)
        return given and OUTPUT.search(f.node.id) is None and SHAPE.search(f.node.id) is None
    if f.op in ("mul", "div", "relu", "clamp", "abs", "masked_fill", "cross", "mean", "sum") and f.args:
        return bool(range_of(file, f).zero) or any(may_vanish(file, a, depth + 1) for a in f.args)
    return bool(range_of(file, f).zero)


def apart(file: File, f: Form) -> bool:
    """Whether a vector has a length by its meaning: the edge of a graph, a direction, from one place to another."""
    written, f = f, through(file, f)
    if any(PAIR.search(ast.unparse(n)) for n in (written.node, f.node)):
        return True
    return f.op == "sub" and (
        _two_of_one(file, f) or _edge(f) or _places(file, f) or SHAPE.search(ast.unparse(f.node)) is not None
    )


def _entry(file: File, f: Form) -> bool:
    """batch["x"], out.hidden: an entry of something given, of which nothing is known."""
    for _ in range(4):
        f = behind(file, f)
        if isinstance(f.node, ast.Subscript) and isinstance(f.node.slice, (ast.Constant, ast.Attribute)):
            return not (isinstance(f.node.slice, ast.Constant) and isinstance(f.node.slice.value, int))
        if f.op not in SELECTING or not f.args:
            return False
        f = f.args[0]
    return False


def _places(file: File, f: Form) -> bool:
    """pos - centers: two sets of places in space, which are apart; not every place with every one of the same set."""
    texts = [ast.unparse(a.node) for a in f.args[:2]]
    one = len({re.split(r"[.(\[]", t)[0] if not t.startswith("self.") else t for t in texts}) == 1
    return len(texts) == 2 and not one and all(PLACE.search(t) for t in texts)


def _edge(f: Form) -> bool:
    """pos_j - pos_i: neighbours in a graph, which are two."""
    ends = [NEIGHBOUR.match(str(a.value)) for a in f.args[:2] if a.op == "name"]
    stems = [m[1] for m in ends if m is not None]
    return len(stems) == 2 and stems[0] == stems[1]


def _two_of_one(file: File, f: Form) -> bool:
    """pos[i] - pos[j], box[:, 1] - box[:, 0]: two different entries of one tensor, not every one with every one."""
    nodes = [_here(file, a.node) for a in f.args[:2]]
    if len(nodes) != 2 or not all(isinstance(n, ast.Subscript) for n in nodes):
        return False
    bases = {ast.unparse(n.value) for n in nodes if isinstance(n, ast.Subscript)}
    indices = [n.slice for n in nodes if isinstance(n, ast.Subscript)]
    spread = any(isinstance(i, ast.Constant) and i.value is None for index in indices for i in ast.walk(index))
    return len(bases) == 1 and not spread


def _here(file: File, node: ast.expr) -> ast.expr:
    """What a name was assigned in this function, and the expression itself otherwise."""
    value = flow.definition(file, node) if isinstance(node, ast.Name) else None
    return node if value is None else value


def _layer_keeps_zero(file: File, f: Form, depth: int) -> bool:
    """The lookup of a padding row, or layers without bias on top of something that may vanish."""
    made = flow.meaning(file, f.node.func) if isinstance(f.node, ast.Call) and hasattr(f.node.func, "ctx") else None
    if not isinstance(made, ast.Call):
        return False
    parts = made.args if flow.last_name(made.func) == "Sequential" else [made]
    names = [flow.last_name(p.func) if isinstance(p, ast.Call) else None for p in parts]
    if names == ["Embedding"]:
        return any(k.arg == "padding_idx" for k in made.keywords)
    without_bias = [isinstance(p, ast.Call) and any(_is_off(k, "bias") for k in p.keywords) for p in parts]
    kept = all(off or name in ODD for off, name in zip(without_bias, names))
    return kept and len(f.args) > 0 and may_vanish(file, f.args[-1], depth + 1)


def _is_off(keyword: ast.keyword, name: str) -> bool:
    return keyword.arg == name and isinstance(keyword.value, ast.Constant) and keyword.value.value is False


ODD = frozenset("ReLU GELU SiLU Tanh LeakyReLU ELU Dropout Identity Mish".split())  # layers with f(0) = 0
RANDOM = frozenset("rand randn rand_like randn_like normal randint uniform randperm".split())
