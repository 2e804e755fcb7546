"""Numbers as a person reads them: 3.4e+38, 0.88, 12 of 768, f32[16, 50], 2 min 5 s.

Everything that whynan prints about a number is decided here.
"""

from __future__ import annotations

import math

# torch's dtype names, shortened the way most people write them
_SHORT = {
    "float64": "f64", "float32": "f32", "float16": "f16", "bfloat16": "bf16",
    "int64": "i64", "int32": "i32", "int16": "i16", "int8": "i8", "uint8": "u8",
    "complex64": "c64", "complex128": "c128",
}  # fmt: skip


def number(value: float | int | None) -> str:
    """Three digits, exponent where the number is very large or small.

    Next to 1 and -1 it keeps the digits that tell it from them: acos(1.0000001) is NaN and acos(1) is not.
    """
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "nan" if value != value else "inf" if value > 0 else "-inf"
    if value == 0 or (value == int(value) and abs(value) < 1e5):
        return f"{int(value)}"
    if abs(float(f"{value:.3g}")) == 1:
        return f"{value:.8g}"
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return f"{value:.2g}"


def count(part: int, whole: int) -> str:
    """12 of 768."""
    return f"{part:,} of {whole:,}"


def seconds(value: float) -> str:
    """A duration: 40 ms, 3.2 s, 2 min 5 s, 1 h 4 min."""
    if not math.isfinite(value):
        return f"{number(value)} s"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def share(part: float, whole: float) -> str:
    """A share of a whole in per cent: 2.4 %."""
    return f"{100 * part / whole:.1f} %" if whole > 0 else "-"


def kind(shape: tuple[int, ...], dtype: str) -> str:
    """Shape and type of a tensor in a word: f32[16, 50]; f32 alone for a scalar."""
    name = dtype.removeprefix("torch.")
    return _SHORT.get(name, name) + (f"[{', '.join(map(str, shape))}]" if shape else "")


def clipped(text: str, most: int) -> str:
    """At most `most` characters, cut between words where that is possible; what is left out shows as "..."."""
    if len(text) <= most:
        return text
    kept = text[: most - 3]
    return (kept.rpartition(" ")[0] or kept) + "..."


def index(position: tuple[int, ...]) -> str:
    """The index of an element: [3, 0]."""
    return f"[{', '.join(map(str, position))}]"
