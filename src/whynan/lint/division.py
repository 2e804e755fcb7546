"""Divisions by something that reaches zero, and what kind of division each is; the rules WN301 to WN307 share them."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Literal

from whynan.lint.afterwards import capped, first_replaced
from whynan.lint.file import File
from whynan.lint.gradients import created, prepares, without_gradient
from whynan.lint.guarded import guarded
from whynan.lint.masks import may_be_empty, of_loss
from whynan.lint.meaning import behind, through
from whynan.lint.operators import ends
from whynan.lint.parts import ARRAYS, bare, root_argument, sum_of_squares, zero
from whynan.lint.ranges import CLAMPED, EMPTY_MASK, FROM_ZERO, NOTHING_FULFILS, SOFT, ZERO_VECTOR
from whynan.lint.tensors import TENSOR_METHODS, tensorial
from whynan.lint.values import range_of, selects
from whynan.remedy import flow
from whynan.remedy.form import SELECTING, Form, form, same

Shape = Literal["sum", "range", "std", "norm", "count", "length", "other"]
LENGTH = re.compile(r"(^|[._])(\w*_)?(lens?|lengths?|seq_?lens?|n_tokens|num_tokens)\d*$", re.IGNORECASE)

SOUND = re.compile(r"audio|wave?|speech|signal|sample|frame|spec|mel", re.IGNORECASE)  # recordings are not empty
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
    if not why and _ramp(file, f):
        why = "ends that were rounded may coincide"
    if why in SOFT:
        return None  # a probability or a gate in a denominator is seldom one that saturates
    shape = shape_of(file, f, why)
    if shape == "length":
        why = "a sequence may be empty"
    if why in (EMPTY_MASK, NOTHING_FULFILS, ZERO_VECTOR) and shape not in ("count", "norm"):
        return None
    if not why or not (tensorial(file, below) or tensorial(file, f.args[0])) and shape != "length":
        return None
    chosen = isinstance(below.node, ast.Subscript) and selects(file, below.node.slice)
    if shape != "norm" and through(file, f.args[0]).op != "sub" and capped(file, f.node):
        return None
    if why == CLAMPED:
        return None  # clamped because it is not to be below 0; that it is 0 takes more
    if why == FROM_ZERO and first_replaced(file, f.node):
        return None
    if chosen or prepares(file, f.node) or guarded(file, f.node, below.node) or not _plausible(file, f, shape):
        return None
    return Division(f, below, shape, why)


def _ramp(file: File, f: Form) -> bool:
    """(arange(n) - low) / (high - low): a ramp over whole numbers, between ends that are given."""
    below, top = through(file, f.args[1]), through(file, f.args[0])
    if below.op != "sub" or top.op != "sub" or len(below.args) != 2 or len(top.args) != 2 or not ends(below):
        return False
    return through(file, top.args[0]).op == "arange" and same(file, top.args[1], below.args[1])


def _plausible(file: File, f: Form, shape: Shape) -> bool:
    """Whether zeros are to be expected in this kind of division."""
    inner, top = bare(file, f.args[1]), through(file, f.args[0])
    if shape == "std":  # (x - mean) / std of data; a ratio of two spreads is of values that vary
        return top.op == "sub" and not _generates(file, f.node) and _may_be_constant(file, top, inner)
    if shape == "norm":
        whole = _normed(file, inner)
        return whole is not None and same(file, through(file, whole), top) and not _interpolates(file, f.node)
    if shape == "range":
        return _known_data(file, inner)
    if shape == "count":
        if inner.op in ("bincount", "histc", "degree"):
            counted = file.segment(inner.args[0].node) if inner.args else ""
            return inner.op != "bincount" or CLASSES.search(counted) is not None
        top = bare(file, f.args[0])
        if isinstance(top.node, ast.Call) and flow.last_name(top.node.func) == "nansum":
            return False  # NaN is what is meant where nothing is left
        if not inner.args:
            return False
        mask = inner.args[0].node
        same_mask = same(file, behind(file, inner.args[0]), behind(file, f.args[0]))
        if top.op not in SUMS and not same_mask:
            return False
        trained = not without_gradient(file, f.node)  # otherwise a share that is looked at
        return of_loss(file, mask) or (trained and may_be_empty(file, mask))
    return True


def _normed(file: File, inner: Form) -> Form | None:
    """x of the norm of x, also by hand; None for arrays of numpy."""
    if inner.lib == "numpy" or not inner.args:
        return None
    argument = root_argument(inner)
    return inner.args[0] if argument is None else sum_of_squares(file, argument)


def _may_be_constant(file: File, top: Form, inner: Form) -> bool:
    """Whether values that are standardised may all be equal: rows or features of data, rewards, an image.

    In a library not what layers or distributions give, and not a whole set of data at once.
    """
    if any(created(file, through(file, a)) for a in (*top.args, *inner.args) if a.number is None):
        return False
    if file.program:
        return True
    root = root_argument(inner)
    spread = through(file, root) if root is not None else inner
    if not spread.args:
        return False
    given = spread.args[0]
    names = " ".join(str(a.value or "") for a in (given, through(file, given)) if a.op == "name")
    dim = spread.kw.get("dim") or spread.kw.get("axis") or spread.arg(1)
    along = dim is not None and not (isinstance(dim.node, ast.Constant) and isinstance(dim.node.value, bool))
    known = _of_parameter(file, given)
    return known and (along or PLAYED.search(names) is not None) or PICTURE.search(names) is not None


def _of_parameter(file: File, f: Form) -> bool:
    """Whether an expression is a parameter of the function, or a part of one."""
    for _ in range(6):
        if isinstance(f.node, ast.Name):
            value = flow.definition(file, f.node)
            if value is None:
                return f.node.id in flow.arguments(file.scope(f.node))
            f = form(file, value)
        elif f.op in SELECTING and f.args:
            f = f.args[0]
        else:
            return False
    return False


CLASSES = re.compile(r"label|target|class|categor|tag|assign|expert|cluster|code|(^|[._])y(_|$)", re.IGNORECASE)
PLAYED = re.compile(r"adv|reward|returns|gae|scores?$", re.IGNORECASE)
PICTURE = re.compile(r"image|img|volume|patch|pixels|audio|wav|signal|spec|mel", re.IGNORECASE)


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
