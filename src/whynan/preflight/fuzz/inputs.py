"""How a user says what a function may be given: one line for one argument.

    logits = float32[2,3] in [-10, 10]     a fixed shape and a closed range
    x      = float[B,4]                    B is any size of at least one; `float` is the dtype under test
    x      = float[0..5,4]                 sizes from 0 to 5 (an empty tensor is only tried when it is asked for)
    target = int64[B] in [0, 3)            class numbers 0, 1, 2
    labels = int64[B] in {-100, 0, 1}      a set
    probs  = float[B,4] in simplex         rows that sum to one
    mask   = bool[B,4]
    scale  = float[B] in (0, 10]           an open end leaves the bound itself out
    target = float[B,4] nograd             no gradient is asked for
    alpha  = 0.25                          a Python constant, handed over as it is

The same words serve `--input` and `fuzz(..., inputs={"logits": "float32[2,3] in [-10, 10]"})`.
"""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass
from typing import Any, Literal

from whynan.errors import UsageError

Kind = Literal["float", "int", "bool", "constant"]
Size = int | str | tuple[int, int]  # fixed, a letter that stands for any size, from..to

FLOATS = ("float", "float64", "float32", "float16", "bfloat16", "double", "half")
INTS = ("int", "int64", "int32", "int16", "int8", "uint8", "long")
FAMILIES = ("simplex",)
EXAMPLE = "For example: logits=float32[2,3] in [-10,10], target=int64[2] in [0,3), mask=bool[2,3], alpha=0.25."
_ALIASES = {"double": "float64", "half": "float16", "long": "int64", "int": "int64"}
_SPEC = re.compile(r"(?P<dtype>[A-Za-z]\w*)\s*(?:\[(?P<shape>[^\]]*)\])?\s*(?P<rest>.*)", re.S)
_RANGE = re.compile(r"(?P<open>[\[(])(?P<low>[^,]+),(?P<high>[^,]+)(?P<close>[\])])")


@dataclass(frozen=True)
class Input:
    """What one argument may be. `shape` None: to be inferred; `low`, `high` None: the usual range of that kind.

    `Input.parse("float32[2,3] in [-10, 10]")` reads the notation above.
    """

    kind: Kind
    dtype: str | None = None  # None: the dtype under test
    shape: tuple[Size, ...] | None = None
    low: float | None = None
    high: float | None = None
    open_low: bool = False
    open_high: bool = False
    values: tuple[float, ...] = ()
    family: str | None = None
    grad: bool | None = None  # None: as the name suggests
    constant: Any = None

    @classmethod
    def parse(cls, text: str, name: str = "") -> Input:
        """Read one specification. UsageError says what is wrong with it and shows a right one."""
        return _parse(text.strip(), name)

    @property
    def stated(self) -> bool:
        """Was the range said? Then it binds: nothing is guessed about it."""
        return self.low is not None or bool(self.values) or self.family is not None


Input.__module__ = "whynan"


def parse_option(text: str) -> tuple[str, Input]:
    """The name and the specification in `NAME=SPEC`, as given to --input."""
    name, sign, spec = text.partition("=")
    name = name.strip()
    if not sign or not name.isidentifier():
        raise UsageError(f"--input {text!r} has no NAME=... at its beginning. {EXAMPLE}")
    return name, Input.parse(spec, name)


def parse_range(text: str, what: str = "--range") -> tuple[float, float]:
    """`LOW,HIGH` (brackets allowed) as two numbers. UsageError where it is none."""
    parts = text.strip().strip("[]()").split(",")
    if len(parts) != 2:
        raise UsageError(f"{what} {text!r} is no range: it has to be two numbers, such as -10,10.")
    low, high = (_number(p, what, text) for p in parts)
    if not low <= high:
        raise UsageError(f"{what} {text!r} is empty: {low:g} is greater than {high:g}.")
    return low, high


def _parse(text: str, name: str) -> Input:
    shown = f"--input {name}={text}" if name else repr(text)
    constant = _constant(text)
    if constant is not _NONE:
        return Input("constant", constant=constant)
    match = _SPEC.fullmatch(text)
    if match is None:
        raise UsageError(f"{shown} cannot be read. {EXAMPLE}")
    kind, dtype = _dtype(match["dtype"], shown)
    shape = None if match["shape"] is None else tuple(_size(p, shown) for p in match["shape"].split(",") if p.strip())
    rest, grad = match["rest"].strip(), None
    for word, value in (("nograd", False), ("grad", True)):
        if rest == word or rest.endswith(" " + word):
            rest, grad = rest.removesuffix(word).strip(), value
            break
    if not rest:
        return Input(kind, dtype, shape, grad=grad)
    if not rest.startswith("in ") and not rest.startswith("in["):
        raise UsageError(f"{shown}: what is {rest!r}? After the shape comes 'in RANGE' or 'nograd'. {EXAMPLE}")
    return _within(rest[2:].strip(), shown, kind, dtype, shape, grad)


def _within(rest: str, shown: str, kind: Kind, dtype: str | None, shape: Any, grad: bool | None) -> Input:
    if rest in FAMILIES:
        return Input(kind, dtype, shape, 0.0, 1.0, family=rest, grad=grad)
    if rest.startswith("{") and rest.endswith("}"):
        values = tuple(_number(p, shown, rest) for p in rest[1:-1].split(",") if p.strip())
        if not values:
            raise UsageError(f"{shown}: the set is empty.")
        return Input(kind, dtype, shape, min(values), max(values), values=values, grad=grad)
    match = _RANGE.fullmatch(rest)
    if match is None:
        raise UsageError(
            f"{shown}: {rest!r} is no range. It is [LOW,HIGH], with ( or ) where the bound is left out, a set {{0,1}}, "
            f"or one of: {', '.join(FAMILIES)}."
        )
    low, high = _number(match["low"], shown, rest), _number(match["high"], shown, rest)
    open_low, open_high = match["open"] == "(", match["close"] == ")"
    if low > high or (low == high and (open_low or open_high)):
        raise UsageError(f"{shown}: the range {rest} is empty.")
    if kind != "float":
        low, high = math.ceil(low) + (open_low and low == math.ceil(low)), math.floor(high)
        high -= open_high and match["high"].strip() == f"{high}"
        if low > high:
            raise UsageError(f"{shown}: there is no whole number in {rest}.")
        open_low = open_high = False
    return Input(kind, dtype, shape, low, high, open_low, open_high, grad=grad)


_NONE = object()


def _constant(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):
        return _NONE


def _dtype(word: str, shown: str) -> tuple[Kind, str | None]:
    if word in FLOATS:
        return "float", None if word == "float" else _ALIASES.get(word, word)
    if word in INTS:
        return "int", _ALIASES.get(word, word)
    if word == "bool":
        return "bool", "bool"
    raise UsageError(f"{shown}: {word!r} is no dtype. It is one of: {', '.join((*FLOATS, *INTS, 'bool'))}.")


def _size(text: str, shown: str) -> Size:
    text = text.strip()
    if text.isdigit():
        return int(text)
    span = re.fullmatch(r"(\d+)\.\.(\d+)", text)
    if span and int(span[1]) <= int(span[2]):
        return int(span[1]), int(span[2])
    if text.isidentifier():
        return text
    raise UsageError(f"{shown}: {text!r} is no size. It is a number, a letter for any size, or FROM..TO. {EXAMPLE}")


def _number(text: str, shown: str, whole: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f"{shown}: {text.strip()!r} in {whole} is no number.") from None
    if math.isnan(value):
        raise UsageError(f"{shown}: nan in {whole} is no bound; whynan searches finite inputs.")
    return value
