"""What several rules ask of an expression: its text for a message, its edges, what it is a root or a mean of."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from whynan.lint.changes import touched
from whynan.lint.file import File
from whynan.lint.meaning import LIBS, behind, constant, through
from whynan.lint.ranges import CLAMPED
from whynan.lint.values import EPS, range_of
from whynan.remedy import flow
from whynan.remedy.form import Form, form
from whynan.remedy.kinds import squared

ARRAYS = ("torch", "method", "module", "numpy", "scipy")
TENSORS = ("torch", "method", "module")
SMALL = 0.02


def short(file: File, node: ast.AST, most: int = 48) -> str:
    """The text of an expression for a message."""
    text = " ".join(file.segment(node).split())
    return f"`{text}`" if len(text) <= most else f"`{text[: most - 3]}...`"


def zero(file: File, f: Form | None) -> str:
    """Why an expression takes the value 0; "" where nothing says that it does."""
    r = range_of(file, f)
    return r.zero if r.zero and r.lo <= 0 <= r.hi else ""


def is_eps(f: Form) -> bool:
    """A small constant, or a name that says so."""
    if f.number is not None:
        return 0 < abs(f.number) <= SMALL
    return f.op == "name" and EPS.search(str(f.value)) is not None


def without_eps(file: File, f: Form) -> Form:
    """x of x + eps, and the expression itself otherwise."""
    if f.op == "add" and len(f.args) == 2 and is_eps(f.args[0]) != is_eps(f.args[1]):
        return through(file, f.args[1] if is_eps(f.args[0]) else f.args[0])
    return f


def cuts_gradient(file: File, f: Form) -> bool:
    """Whether the gradient is set to 0 where the value is: relu and masked_fill choose both alike."""
    return through(file, f).op in ("relu", "relu6", "hardtanh", "threshold", "masked_fill")


def singular(file: File, f: Form) -> str:
    """Why an infinite derivative at 0 is met; "" where nothing says so, or where the gradient there is set to 0.

    clamp lets the gradient pass at its very bound, which differences of equal numbers reach.
    """
    inner = through(file, f)
    if cuts_gradient(file, f):
        return ""
    why = zero(file, f)
    while inner.op in ("sqrt", "pow") and inner.args:
        inner = through(file, inner.args[0])
    if why == CLAMPED and inner.op == "clamp" and inner.args:
        cut = through(file, inner.args[0])
        differs = cut.op == "sub" or (cut.op == "add" and "-" in file.segment(cut.node))
        return zero(file, cut) or (why if differs else "")
    return why


def with_eps(file: File, node: ast.expr) -> ast.expr | None:
    """The sum of an expression and an eps, where it stands in one: `x.sqrt() + eps`, `x.sqrt().add_(eps)`."""
    parent = file.parents.get(node)
    if isinstance(parent, ast.Attribute):
        parent = file.parents.get(parent)
    if isinstance(parent, (ast.BinOp, ast.Call)):
        f = form(file, parent)
        if f.op == "add" and len(f.args) == 2 and any(is_eps(a) for a in f.args if a.node is not node):
            return parent
    return None


def root_argument(f: Form) -> Form | None:
    """x of sqrt(x), x ** 0.5, x.pow(0.5)."""
    if f.op == "sqrt" and f.args and f.lib != "math":
        return f.args[0]
    return f.args[0] if f.op == "pow" and len(f.args) == 2 and f.args[1].number == 0.5 else None


def roots(file: File) -> Iterator[tuple[Form, Form]]:
    """(root, its argument) of every square root of an array."""
    for f in file.forms("sqrt", "pow"):
        arg = root_argument(f)
        if arg is not None and arg.number is None:
            yield f, arg


def sum_of_squares(file: File, f: Form) -> Form | None:
    """x where f is the sum or mean of x squared, or a sum of two squares; None otherwise, or where an eps is added."""
    inner = through(file, f)
    if inner.op in ("sum", "mean") and inner.args and inner.lib in LIBS:
        return squared(file, behind(file, inner.args[0]))
    if inner.op == "add" and len(inner.args) == 2:
        parts = [squared(file, behind(file, a)) or sum_of_squares(file, a) for a in inner.args]
        a, b = parts
        return a if a is not None and b is not None and _components(file, a, b) else None
    return None


def _components(file: File, a: Form, b: Form) -> bool:
    """Whether two squares are those of one vector: x and y, v[0] and v[1], z.real and z.imag, two differences."""
    if a.op == b.op == "sub":
        return True
    texts = [file.segment(f.node) for f in (a, b)]
    roots = [re.split(r"[.\[(]", text)[0] for text in texts]
    if all(isinstance(f.node, (ast.Subscript, ast.Attribute)) for f in (a, b)) and roots[0] == roots[1] != "self":
        return True
    return any(re.sub(x, y, texts[0]) == texts[1] != texts[0] for x, y in AXES)


AXES = ((r"x", "y"), (r"y", "x"), (r"real", "imag"), (r"re$", "im"), (r"\bu\b", "v"), (r"^a$", "b"), (r"cos", "sin"))


def exponent_of(file: File, f: Form) -> Form | None:
    """z where f is exp(z)."""
    inner = behind(file, f)
    return inner.args[0] if inner.op == "exp" and inner.args and inner.lib in LIBS else None


LOG_PROBABILITY = re.compile(
    r"(^|[._])(\w*_)?(log_?p|log_?pi|log_?probs?|logprobs?|log_softmax|lprobs?)(_\w+)?$", re.IGNORECASE
)


GAUSSIAN = re.compile(r"^\(?-.*(sigma|bandwidth|\bdist|sq)", re.IGNORECASE | re.DOTALL)  # exp(-d / (2 sigma))
LOGARITHMS = ("log", "log1p", "log_softmax", "logsigmoid")
SHIFT = re.compile(r"max|lse|logsumexp|log_?norm|log_z|\btop|peak|largest|shift|offset", re.IGNORECASE)


def bounded(file: File, z: Form) -> bool:
    """Whether exp(z) cannot overflow: z is shifted by its largest, or bounded."""
    inner = through(file, z)
    if any(isinstance(f.node, (ast.Name, ast.Attribute)) and touched(file, f.node) for f in (z, inner)):
        return True  # shifted or bounded in place
    if inner.op == "sub" and len(inner.args) == 2 and SHIFT.search(file.segment(inner.args[1].node)):
        return True
    if LOG_PROBABILITY.search(str(inner.value or "")) or inner.op in LOGARITHMS:
        return True
    if GAUSSIAN.search(file.segment(inner.node)):
        return True
    if inner.op in ("mul", "div") and len(inner.args) == 2:  # a temperature scales what was shifted
        factors = (a for a in inner.args if constant(file, a) is None)
        return range_of(file, inner).hi <= 80 or any(range_of(file, a).hi <= 0 for a in factors)
    return range_of(file, z).hi <= 80


def compared(file: File, test: ast.AST) -> Iterator[Form]:
    """The expressions that a condition compares: x of `(x > 0) & mask`."""
    for inner in ast.walk(test):
        if isinstance(inner, ast.Compare):
            for side in (inner.left, *inner.comparators):
                yield form(file, side)
        elif isinstance(inner, ast.Call) and isinstance(inner, ast.expr):
            f = form(file, inner)
            if f.op in ("gt", "ge", "lt", "le", "eq", "ne"):
                yield from f.args
    if isinstance(test, ast.Name):
        value = flow.definition(file, test)
        if value is not None:
            yield from compared(file, value)


def conditions(file: File, test: ast.AST) -> Iterator[ast.Compare]:
    """The comparisons in a condition, through the name it may have been given."""
    if isinstance(test, ast.Name):
        value = flow.definition(file, test)
        if value is not None:
            yield from conditions(file, value)
    for inner in ast.walk(test):
        if isinstance(inner, ast.Compare):
            yield inner


def unpacked(file: File, name: ast.expr) -> ast.expr | None:
    """The call behind `mean, logvar = h.chunk(2)`: h.chunk(2), for either name."""
    if not isinstance(name, ast.Name):
        return None
    found = None
    for statement, value in flow.bindings(file, file.scope(name), name.id):
        if flow.position(statement) < flow.position(name) and statement is not file.statement(name):
            found = (statement, value)
    if found is None or found[1] is not None or not isinstance(found[0], ast.Assign):
        return None
    return found[0].value


def bare(file: File, f: Form) -> Form:
    """Behind names, selections, and multiplication by or addition of constants."""
    for _ in range(8):
        f = through(file, f)
        if f.op == "neg" and f.args:
            f = f.args[0]
        elif all(_constant(a) for a in f.args) and f.args:
            return f
        elif f.op in ("mul", "div", "add", "sub") and len(f.args) == 2 and any(_constant(a) for a in f.args):
            f = next((a for a in f.args if not _constant(a)), f)
        else:
            return f
    return f


def _constant(f: Form) -> bool:
    return f.number is not None or (f.op == "name" and str(f.value).endswith(".pi"))


def computed(f: Form) -> bool:
    """Whether a value comes out of arithmetic, and so is exact only to rounding."""
    return f.op in (
        "add",
        "sub",
        "mul",
        "div",
        "sum",
        "mean",
        "matmul",
        "einsum",
        "inner",
        "vdot",
        "tensordot",
        "trace",
    )
