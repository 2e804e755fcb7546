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
from whynan.lint.meaning import behind
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
