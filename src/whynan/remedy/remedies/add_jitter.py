"""add-jitter: a matrix that is singular, or whose eigenvalues coincide, moved a little.

What it does
------------
Adds a small multiple of the identity before inv, cholesky, solve or logdet; distinct diagonal values before svd
or eigh.

When it applies
---------------
A covariance of dependent columns or of fewer samples than dimensions; equal singular values, whose vectors have
a derivative that divides by the differences of their squares.

When it does not
----------------
A matrix that holds NaN, or that is not symmetric or positive definite by construction.

Live
----
Distinct numbers of a thousandth of the matrix' size on its diagonal (`op-guard`); or the patched function
itself.
"""

from __future__ import annotations

import ast

from whynan.case.facts import Report, TensorFacts
from whynan.remedy import finder, wraps
from whynan.remedy.candidate import Candidate
from whynan.remedy.match import Match
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source

SOLVING = (
    "inv",
    "cholesky",
    "solve",
    "slogdet",
    "det",
    "inv_ex",
    "cholesky_ex",
    "solve_triangular",
    "lu",
    "lu_factor",
    "pinv",
    "lstsq",
    "matrix_power",
)


SPECTRAL = ("svd", "eigh", "eig", "qr", "symeig", "svd_lowrank")


@remedy("add-jitter", "add jitter to the matrix", live=("op-guard",))
def add_jitter(report: Report, source: Source) -> list[Candidate]:
    out = []
    for site in finder.sites(source, report.birth) if report.birth else []:
        f = site.form
        if f.op not in SOLVING + SPECTRAL or not f.args or f.lib not in ("torch", "method") or site.distance >= 3:
            continue
        a = f.args[0]
        plain = _is_plain(source, site.fact(0))
        for i, size in enumerate(("1e-6", "1e-3")):
            text = jitter(source, a.node, size if f.op in SOLVING else ("1e-3", "1e-2")[i], f.op in SPECTRAL, plain)
            if text and Match(source, f).cheap(a.node):
                edits = wraps.to_edits([wraps.plus(source, a.node, text)])
                out.append(
                    Candidate(
                        "add-jitter", "add jitter to the diagonal", source, edits, order=0.3 + i + 5 * site.distance
                    )
                )
    return out


def jitter(source: Source, node: ast.expr, size: str, distinct: bool, plain: bool = False) -> str | None:
    """size * eye, or a diagonal of distinct values, of the shape, type and device (unless `plain`) of the matrix."""
    if "\n" in source.segment(node):
        return None
    a = source.atom(node)
    like = "" if plain else f".to({source.segment(node)})"
    if not distinct:
        return f"{size} * {source.spell('torch.eye')}({a}.shape[-1]){like}"
    return f"{size} * {source.spell('torch.arange')}({a}.shape[-1]){like}.diag()"


def _is_plain(source: Source, fact: TensorFacts | None) -> bool:
    """Whether the matrix has the type and the device that a new tensor has, and the file speaks of no other."""
    known = fact is not None and fact.dtype.endswith("float32") and fact.device == "cpu"
    return known and not any(word in source.text for word in ("cuda", "device", "float64", "double", "default_dtype"))
