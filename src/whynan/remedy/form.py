"""Expressions in one form: torch.log(x), x.log(), np.log(x), log(x) and an nn.Module that does the same are all
`log`.

A `Form` keeps the ast node, so that a rule can match on meaning and write with the user's own text. Operators become
add, sub, mul, div, pow, matmul, neg; names and constants are leaves. `seen` looks through a local variable to the
form
of what was assigned to it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from whynan.remedy import flow
from whynan.remedy.source import Source

OPERATORS = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "div",
    ast.Pow: "pow",
    ast.MatMult: "matmul",
    ast.FloorDiv: "floordiv",
    ast.Mod: "remainder",
}
SYNONYMS = {
    "arccos": "acos",
    "arcsin": "asin",
    "arctanh": "atanh",
    "arccosh": "acosh",
    "divide": "div",
    "true_divide": "div",
    "multiply": "mul",
    "subtract": "sub",
    "negative": "neg",
    "absolute": "abs",
    "fabs": "abs",
    "clip": "clamp",
    "amax": "max",
    "clamp_min": "clamp",
    "clamp_max": "clamp",
    "power": "pow",
    "float_power": "pow",
    "expit": "sigmoid",
    "vector_norm": "norm",
    "nanmean": "mean",
    "nansum": "sum",
    "ndtri": "icdf",
    "softmin": "softmax",
    "mm": "matmul",
    "bmm": "matmul",
    "dot": "matmul",
    "mv": "matmul",
    "logdet": "slogdet",
    "inverse": "inv",
    "int": "cast",
    "half": "half",
    "log_normal": "log_normal",
}
MODULES = {
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "LogSigmoid": "logsigmoid",
    "CrossEntropyLoss": "cross_entropy",
    "NLLLoss": "nll_loss",
    "BCELoss": "binary_cross_entropy",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
    "MSELoss": "mse_loss",
    "L1Loss": "l1_loss",
    "HuberLoss": "huber_loss",
    "SmoothL1Loss": "smooth_l1_loss",
    "KLDivLoss": "kl_div",
    "CTCLoss": "ctc_loss",
    "PoissonNLLLoss": "poisson_nll_loss",
    "GaussianNLLLoss": "gaussian_nll_loss",
    "MultiheadAttention": "multi_head_attention_forward",
    "Linear": "linear",
    "Conv1d": "conv1d",
    "Conv2d": "conv2d",
    "Conv3d": "conv3d",
    "SoftMarginLoss": "soft_margin_loss",
}
LIBRARIES = ("torch", "numpy", "math", "scipy", "cmath", "jax")
SELECTING = frozenset(
    "getitem gather index_select select squeeze unsqueeze view reshape permute transpose t flatten contiguous clone "
    "expand expand_as to float detach narrow chunk movedim swapaxes diagonal take_along_dim masked_select "
    "requires_grad take".split()
)


@dataclass(frozen=True, eq=False)
class Form:
    """op; `lib` is torch, numpy, math, method, module, python; args include the receiver of a method call."""

    op: str
    node: ast.expr
    lib: str = "python"
    args: tuple[Form, ...] = ()
    kw: dict[str, Form] = field(default_factory=dict)
    ctor: ast.Call | None = None  # the constructor call, where the op is an nn.Module
    value: object = None  # of a constant

    def arg(self, index: int, name: str | None = None) -> Form | None:
        if name is not None and name in self.kw:
            return self.kw[name]
        return self.args[index] if index < len(self.args) else None

    @property
    def number(self) -> float | None:
        """The value of a numeric constant, also a negated one."""
        if self.op == "const" and isinstance(self.value, (int, float)) and not isinstance(self.value, bool):
            return float(self.value)
        if self.op == "neg" and self.args[0].number is not None:
            return -self.args[0].number
        return None


def form(source: Source, node: ast.expr) -> Form:
    """The normal form of an expression. Cached on the source."""
    cache = source.__dict__.setdefault("_forms", {})
    if node not in cache:
        cache[node] = _form(source, node)
    return cache[node]


def _form(source: Source, node: ast.expr) -> Form:
    def sub(n: ast.expr) -> Form:
        return form(source, n)

    if isinstance(node, ast.Constant):
        return Form("const", node, value=node.value)
    if isinstance(node, ast.Name):
        return Form("name", node, value=node.id)
    if isinstance(node, ast.BinOp):
        return Form(OPERATORS.get(type(node.op), "binop"), node, args=(sub(node.left), sub(node.right)))
    if isinstance(node, ast.AugAssign):  # a /= b fails as a / b does
        return Form(OPERATORS.get(type(node.op), "binop"), node, args=(sub(node.target), sub(node.value)))
    if isinstance(node, ast.UnaryOp):
        return Form("neg" if isinstance(node.op, ast.USub) else "unary", node, args=(sub(node.operand),))
    if isinstance(node, ast.Subscript):
        return Form("getitem", node, "method", (sub(node.value),))
    if isinstance(node, ast.Attribute):
        return _attribute_form(source, node)
    if isinstance(node, ast.Call):
        return _call_form(source, node)
    return Form(type(node).__name__.lower(), node)


def _attribute_form(source: Source, node: ast.Attribute) -> Form:
    if source.dotted(node):
        return Form("name", node, value=source.dotted(node))
    if node.attr in ("T", "mT", "data", "H"):
        return Form("transpose" if node.attr != "data" else "detach", node, "method", (form(source, node.value),))
    return Form("name", node, value=source.segment(node))


def _call_form(source: Source, node: ast.Call) -> Form:
    args = tuple(form(source, a) for a in node.args)
    kw = {k.arg: form(source, k.value) for k in node.keywords if k.arg}
    dotted = source.dotted(node.func)
    if dotted and dotted.split(".")[0] in LIBRARIES:
        name, lib = dotted.split(".")[-1], dotted.split(".")[0]
        return _named(name, node, "math" if lib == "cmath" else lib, args, kw)
    ctor = module_ctor(source, node.func)
    if ctor is not None:
        name = MODULES[(source.dotted(ctor.func) or flow.last_name(ctor.func) or "").split(".")[-1]]
        extra = {k.arg: form(source, k.value) for k in ctor.keywords if k.arg}
        if name in ("softmax", "log_softmax") and ctor.args:
            extra["dim"] = form(source, ctor.args[0])
        return Form(name, node, "module", args, extra | kw, ctor)
    if isinstance(node.func, ast.Attribute):
        return _named(node.func.attr, node, "method", (form(source, node.func.value), *args), kw)
    if isinstance(node.func, ast.Name):
        return Form(node.func.id, node, "python", args, kw)
    return Form("call", node, "python", args, kw)


def _named(name: str, node: ast.expr, lib: str, args: tuple[Form, ...], kw: dict[str, Form]) -> Form:
    plain = name.rstrip("_") if not name.startswith("__") else name
    return Form(SYNONYMS.get(plain, plain), node, lib, args, kw)


def module_ctor(source: Source, func: ast.expr) -> ast.Call | None:
    """The constructor call behind `criterion(...)`, `self.softmax(...)` or `nn.Softmax(dim=1)(...)`, if it is a
    known one."""
    found: ast.expr | None = func if isinstance(func, ast.Call) else None
    if isinstance(func, (ast.Name, ast.Attribute)) and source.dotted(func) is None:
        found = flow.meaning(source, func)
        if found is None and isinstance(func, ast.Name):
            found = _anywhere(source, func.id)
    if isinstance(found, ast.Call):
        dotted = source.dotted(found.func) or ""
        if dotted.startswith("torch.nn.") and dotted.split(".")[-1] in MODULES:
            return found
    return None


def _anywhere(source: Source, name: str) -> ast.expr | None:
    """The one constructor assigned to a name anywhere in the file (a criterion handed from main() to train())."""
    cache = source.__dict__.setdefault("_ctors", {})
    if not cache:
        cache[""] = []
        for node in ast.walk(source.tree):
            for target, value in flow.targets(node):
                if isinstance(target, (ast.Name, ast.Attribute)) and isinstance(value, ast.Call):
                    cache.setdefault(flow.last_name(target), []).append(value)
    found = cache.get(name, [])
    return found[0] if len(found) == 1 else None


def seen(source: Source, f: Form) -> Form:
    """The form behind a name, as far as simple definitions reach; the form itself where they do not."""
    for _ in range(6):
        if f.op != "name" or not isinstance(f.node, (ast.Name, ast.Attribute)):
            return f
        value = flow.meaning(source, f.node)
        if value is None:
            return f
        f = form(source, value)
    return f


def same(source: Source, a: Form, b: Form) -> bool:
    """Whether two forms are the same expression, whatever the spelling of the calls."""
    if a.op in ("name", "const", "tuple", "list", "lambda") or b.op in ("name", "const", "tuple", "list", "lambda"):
        return a.op == b.op and ast.dump(a.node) == ast.dump(b.node)
    if a.op == "getitem" and b.op == "getitem":
        return ast.dump(a.node) == ast.dump(b.node)
    return (
        a.op == b.op
        and len(a.args) == len(b.args)
        and all(same(source, x, y) for x, y in zip(a.args, b.args))
        and a.kw.keys() == b.kw.keys()
        and all(same(source, a.kw[k], b.kw[k]) for k in a.kw)
    )
