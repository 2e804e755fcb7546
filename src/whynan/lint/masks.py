"""Which masks can be empty: those of a condition on data can; those of lengths, of tokenizers and of chance are not.

A mask that says where a text or a signal has steps has one in every row, because tokenizers add tokens and empty
signals are dropped before; a random mask has as many entries as its rate says. Reports about such masks were wrong far
more often than right (docs/explanation/lint-precision.md), so nothing is said about them.
"""

from __future__ import annotations

import ast
import re

from whynan.lint.calls import given
from whynan.lint.file import File
from whynan.lint.guarded import names_of
from whynan.lint.meaning import behind, constant, through
from whynan.lint.values import MASK, range_of
from whynan.remedy import flow
from whynan.remedy.form import form

TOKENS = re.compile(
    r"(^|[._])(attention|attn|input|encoder|decoder|caption|text|txt|prompt|query|key|token|src|tgt|source|memory|"
    r"position|position_ids|frames?|speech|wav|audio|seq|sequence|special_tokens?|node|atom|residue|res|patch|pixel)"
    r"_(\w*_)?masks?(_\w+)?$",
    re.IGNORECASE,
)
STEPS = re.compile(
    r"length|\blens\b|_lens?\b|sequence_mask|padding_mask|pad_mask|num_frames|one_hot|onehot|arange|cumsum|argmax|topk"
)
CHANCE = re.compile(
    r"\brand\b|rand_like|bernoulli|randperm|\brandint|random|mask_ratio|torch\.eye|\bcat\(.*\bones|\bones.*\bcat\(|\btriu|\btril"
)
MEANS = re.compile(r"mask(ed)?_?\w*(mean|average|avg|loss|pool)|(mean|average|avg|loss|pool)\w*_?mask", re.IGNORECASE)
IDS = re.compile(r"(^|[._])(ids?|tokens?|index|indices|idx|items?|seqs?|sequences?|inputs?)$")
COMPARISONS = frozenset("eq ne gt lt ge le isfinite isnan isin".split())
LOGIC = frozenset("logical_and logical_or logical_not bool mul add bitwise_and bitwise_or".split())
LOSSES = re.compile(r"(^|[._])(\w*_)?loss(es)?_(\w*_)?masks?$")
PLAIN = re.compile(r"^_?masks?$")


def history(file: File, mask: ast.AST, callers: bool = True) -> str:
    """The text of a mask and of what its names and attributes were assigned, here and by callers, in lower case."""
    texts = [file.segment(mask)]
    scope = file.scope(mask)
    for name in names_of(file, mask):
        texts.append(name)
        for statement, value in flow.bindings(file, scope, name):
            simple = isinstance(statement, (ast.Assign, ast.AugAssign, ast.AnnAssign))
            texts += [file.segment(statement)] if simple else [file.segment(value)] if value is not None else []
    for inner in ast.walk(mask):
        if isinstance(inner, (ast.Name, ast.Attribute)):
            texts.append(file.segment(behind(file, form(file, inner)).node))
        if isinstance(inner, ast.Name) and callers:
            texts += [history(file, value, callers=False) for value in given(file, inner)[:2]]
    return " ".join(texts).lower()


def names(file: File, mask: ast.AST) -> list[str]:
    """The names and attributes in a mask, `keep` and `batch.keep`, with those of what they were assigned."""
    nodes = [n for n in ast.walk(mask) if isinstance(n, (ast.Name, ast.Attribute))]
    return [ast.unparse(n) for n in nodes] + sorted(names_of(file, mask))


def never_empty(file: File, mask: ast.AST) -> bool:
    """Whether a mask is one of steps, of tokens or of chance, by its names and by how it was made."""
    return any(TOKENS.search(n) for n in names(file, mask)) or _says(STEPS, CHANCE, text=history(file, mask))


def may_be_empty(file: File, mask: ast.expr) -> bool:
    """Whether a mask is one of conditions on data, of which nothing says that some entry fulfils them."""
    tests = conditions_of(file, mask)
    if not tests or never_empty(file, mask) or any(is_padding_test(file, t) for t in tests):
        return False
    return all(range_of(file, form(file, t)).zero for t in tests)  # not equal to its own extreme


def conditions_of(file: File, mask: ast.expr, depth: int = 0) -> list[ast.expr]:
    """The comparisons that a mask is made of, through names, shapes and logic: those of `~(a > 0) & b.eq(1)`."""
    f = through(file, form(file, mask))
    node = f.node
    if isinstance(node, ast.Compare):
        return [node] if not any(isinstance(op, (ast.Is, ast.IsNot, ast.In, ast.NotIn)) for op in node.ops) else []
    if f.op in COMPARISONS:
        return [node]
    if depth > 6 or not isinstance(node, (ast.UnaryOp, ast.BinOp, ast.Call)):
        return []
    if isinstance(node, ast.Call):
        parts = [a.node for a in f.args] if f.op in LOGIC else []
    else:
        parts = [node.operand] if isinstance(node, ast.UnaryOp) else [node.left, node.right]
    return [test for part in parts for test in conditions_of(file, part, depth + 1)]


def is_padding_test(file: File, test: ast.expr) -> bool:
    """Whether a condition is `ids != 0`, `ids.ne(pad)` or `ids > 0`: what is not padding."""
    if isinstance(test, ast.Compare):
        if "pad" in ast.unparse(test).lower() or MASK.search(ast.unparse(test.left)):
            return True  # mask > 0.5 is a mask of somebody's
        zero_side = constant(file, form(file, test.comparators[0])) == 0
        above = isinstance(test.ops[0], ast.Gt) and IDS.search(ast.unparse(test.left)) is not None
        return zero_side and (above or isinstance(test.ops[0], ast.NotEq))
    f = form(file, test)
    return "pad" in ast.unparse(test).lower() or (f.op == "ne" and len(f.args) == 2 and f.args[1].number == 0)


def of_loss(file: File, mask: ast.expr) -> bool:
    """Whether a mask says by its name which losses count, or belongs to a function on its own that takes masked means.

    Such a function, `masked_mean(x, mask)`, has to cope with any mask.
    """
    if never_empty(file, mask):
        return False
    inner = through(file, form(file, mask))
    if inner.op != "name":
        return False
    if LOSSES.search(str(inner.value)):
        return True
    function = file.function(mask)
    helper = function is not None and MEANS.search(function.name) is not None and file.class_of(mask) is None
    return helper and MASK.search(str(inner.value)) is not None


def _says(*patterns: re.Pattern[str], text: str) -> bool:
    return any(pattern.search(text) for pattern in patterns)


def unexplained(file: File, mask: ast.AST) -> bool:
    """Whether nothing is known of a mask of a class: a parameter or an entry that is called `mask` and no more.

    A function on its own that takes means, `masked_mean(x, mask)`, has to cope with any mask.
    """
    function = file.function(mask)
    means = function is not None and MEANS.search(function.name) is not None
    if means and file.class_of(mask) is None and not _keyed(file, mask):
        return False
    return _plain(file, mask)


def _keyed(file: File, mask: ast.AST) -> bool:
    """batch["mask"], also behind a name."""
    value = flow.definition(file, mask) if isinstance(mask, ast.Name) else mask
    return isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant)


def _plain(file: File, mask: ast.AST) -> bool:
    inner = mask
    while isinstance(inner, (ast.Call, ast.Subscript, ast.UnaryOp)):
        if isinstance(inner, ast.UnaryOp):
            inner = inner.operand
        elif isinstance(inner, ast.Subscript):
            inner = inner.value
        elif isinstance(inner.func, ast.Attribute):
            inner = inner.func.value
        else:
            break
    if isinstance(inner, ast.Attribute):
        return flow.meaning(file, inner) is None and PLAIN.match(inner.attr) is not None
    if not isinstance(inner, ast.Name):
        return False
    value = flow.definition(file, inner)
    if value is not None and value is not mask:
        keyed = _keyed(file, value)
        plain = isinstance(value, (ast.Name, ast.Attribute, ast.Subscript)) or _shaped(value)
        return keyed or (plain and _plain(file, value))
    return PLAIN.match(inner.id) is not None


def _shaped(value: ast.expr) -> bool:
    """mask.unsqueeze(-1).float(), mask.to(x.dtype): a mask in another shape or type."""
    shapes = "unsqueeze squeeze view reshape float to bool long expand expand_as type type_as flatten repeat".split()
    return isinstance(value, ast.Call) and flow.last_name(value.func) in shapes
