"""Divisions by something that reaches zero, and what kind of division each is; the rules WN301 to WN307 share them."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Literal

from whynan.lint.file import File
from whynan.lint.gradients import created, prepares
from whynan.lint.guarded import guarded
from whynan.lint.masks import never_empty, unexplained
from whynan.lint.meaning import behind, constant, through
from whynan.lint.parts import ARRAYS, bare, root_argument, sum_of_squares, zero
from whynan.lint.ranges import SOFT
from whynan.lint.tensors import TENSOR_METHODS, tensorial
from whynan.lint.values import range_of, selects
from whynan.remedy import flow
from whynan.remedy.form import Form, form, same

Shape = Literal["sum", "range", "std", "norm", "count", "length", "other"]
LENGTH = re.compile(r"(^|[._])(\w*_)?(lens?|lengths?|seq_?lens?|n_tokens|num_tokens)\d*$", re.IGNORECASE)

INPUT = re.compile(r"(^|[._])(\w*_)?(x|y|z|feats?|spec|mel|pad|padding)_(\w*_)?masks?$")
SOUND = re.compile(r"audio|wave?|speech|signal|sample|frame|spec|mel", re.IGNORECASE)  # recordings are not empty
IDS = re.compile(r"(^|[._])(ids?|tokens?|index|indices|idx|items?|seqs?|sequences?|inputs?)$")
SUMS = ("sum", "matmul", "index_add", "scatter_add")


@dataclass(frozen=True, eq=False)
class Division:
    """`form` divides by `below`, which can be 0 because of `why`."""

    form: Form
    below: Form
    shape: Shape
    why: str


def divisions(file: File) -> list[Division]:
    """The unguarded divisions of arrays by something that reaches zero, in source order. Found once a file."""
    cache = file.__dict__.get("_divisions")
    if cache is None:
        cache = [d for f in file.forms("div") for d in [_division(file, f)] if d is not None]
        file.__dict__["_divisions"] = cache
    found: list[Division] = cache
    return found


def _division(file: File, f: Form) -> Division | None:
    if len(f.args) < 2 or f.args[1].number is not None:
        return None
    below, why = f.args[1], zero(file, f.args[1])
    if why in SOFT:
        return None  # a probability or a gate in a denominator is seldom one that saturates
    shape = shape_of(file, f, why)
    if shape == "length":
        why = "a sequence may be empty"
    if not why or not (tensorial(file, below) or tensorial(file, f.args[0])) and shape != "length":
        return None
    chosen = isinstance(below.node, ast.Subscript) and selects(file, below.node.slice)
    if chosen or prepares(file, f.node) or guarded(file, f.node, below.node) or not _plausible(file, f, shape):
        return None
    return Division(f, below, shape, why)


def _plausible(file: File, f: Form, shape: Shape) -> bool:
    """Whether zeros are to be expected in this kind of division."""
    inner, top = bare(file, f.args[1]), through(file, f.args[0])
    if shape == "std":  # (x - mean) / std of data; a ratio of two spreads is of values that vary
        parts = [a for a in (*top.args, *inner.args) if a.number is None]
        centred = top.op == "sub" and not _generates(file, f.node)
        return centred and not any(created(file, through(file, a)) for a in parts)
    if shape == "norm":
        return inner.lib != "numpy" and not _interpolates(file, f.node)
    if shape == "range":
        return _known_data(file, inner)
    if shape == "count":
        same_mask = bool(inner.args) and same(file, behind(file, inner.args[0]), behind(file, f.args[0]))
        counted = inner.op in ("bincount", "histc", "degree")
        top = bare(file, f.args[0])
        if isinstance(top.node, ast.Call) and flow.last_name(top.node.func) == "nansum":
            return False  # NaN is what is meant where nothing is left
        mean = top.op in SUMS or (same_mask and _compared(file, inner))
        return (mean or counted) and not _steps(file, f.args[1], inner) and not _whole_input(file, inner)
    return True


def _known_data(file: File, inner: Form) -> bool:
    """x of x.max() - x.min() where it is an argument, an attribute or arithmetic, not what some call has given."""
    extreme = through(file, inner.args[0])
    x = through(file, extreme.args[0]) if extreme.op == "max" and extreme.args else None
    if x is None:
        return True  # the ends of something, by their names
    if isinstance(x.node, ast.Name):
        return x.node.id in flow.arguments(file.scope(x.node))
    return not isinstance(x.node, ast.Call) or x.lib in ARRAYS and x.op in TENSOR_METHODS


def _generates(file: File, node: ast.AST) -> bool:
    """In a pipeline that only generates: its latents vary."""
    owner = file.class_of(node)
    return owner is not None and any("Pipeline" in ast.unparse(base) for base in owner.bases)


def _interpolates(file: File, node: ast.AST) -> bool:
    """In a spherical interpolation, whose ends are noise."""
    function = file.function(node)
    return function is not None and "slerp" in function.name.lower()


def _compared(file: File, inner: Form) -> bool:
    """Whether what is counted is a condition rather than somebody's mask."""
    return isinstance(through(file, inner.args[0]).node, ast.Compare)


def _steps(file: File, below: Form, inner: Form) -> bool:
    """Whether what is counted are the steps of an input, or random choices, of which there always are some."""
    if not inner.args or inner.op in ("bincount", "histc", "degree"):
        return False
    return never_empty(file, below.node) or unexplained(file, inner.args[0].node)


def _whole_input(file: File, inner: Form) -> bool:
    """The number of valid positions of all inputs together, which is not 0."""
    dim = inner.kw.get("dim") or inner.arg(1)
    if inner.op != "sum" or (dim is not None and (dim.number is not None or dim.op != "name")):
        return False
    given, mask = inner.args[0], through(file, inner.args[0])
    name = str(mask.value or (given.value if given.op == "name" else ""))
    texts = [file.segment(mask.node)]
    if isinstance(mask.node, ast.Name):
        texts += [file.segment(s) for s, _ in flow.bindings(file, file.scope(mask.node), mask.node.id)]
    if _tokens(file, mask):
        return True
    padding = any(word in text.lower() for text in texts for word in ("length", "pad", "lens"))
    return padding or INPUT.search(name.lower()) is not None


def _tokens(file: File, mask: Form) -> bool:
    """Whether a mask is `ids != 0`, `ids.ne(0)` or `ids > 0`: what is not padding."""
    test = mask.node
    if isinstance(test, ast.Compare):
        zero_side = constant(file, form(file, test.comparators[0])) == 0
        above = isinstance(test.ops[0], ast.Gt) and IDS.search(ast.unparse(test.left)) is not None
        return zero_side and (above or isinstance(test.ops[0], ast.NotEq))
    return mask.op == "ne" and len(mask.args) == 2 and mask.args[1].number == 0


def shape_of(file: File, f: Form, why: str) -> Shape:
    """Which kind of division it is, by what is divided by."""
    inner = bare(file, f.args[1])
    if not why:
        return "length" if _by_length(file, f) else "other"
    argument = root_argument(inner)
    root = through(file, argument) if argument is not None else None
    if inner.op in ("std", "var") or (root is not None and root.op == "var"):
        return "std"
    if inner.op == "norm" or (argument is not None and sum_of_squares(file, argument) is not None):
        return "norm"
    if inner.op == "sub" and len(inner.args) == 2 and range_of(file, inner).nonnegative:
        return "range"
    if range_of(file, f.args[1]).count or range_of(file, inner).count:
        return "count"
    if inner.op == "sum" and inner.args and same(file, behind(file, inner.args[0]), behind(file, f.args[0])):
        return "sum"
    return "other"


def _by_length(file: File, f: Form) -> bool:
    """A sum over a dimension divided by a name that says it holds lengths, one for each row."""
    below, top = f.args[1], behind(file, f.args[0])
    rows = isinstance(below.node, ast.Subscript) and isinstance(below.node.slice, (ast.Tuple, ast.Slice))
    shaped = rows or below.op in ("unsqueeze", "view", "reshape")
    name = below.args[0] if shaped and below.args else below
    if name.op in ("float", "to") and name.args:
        name = name.args[0]
    if not shaped or name.op != "name" or behind(file, name).op not in ("name", "tensor", "as_tensor", "LongTensor"):
        return False
    return (
        top.op == "sum"
        and top.lib in ARRAYS
        and LENGTH.search(str(name.value)) is not None
        and SOUND.search(str(name.value)) is None
    )
