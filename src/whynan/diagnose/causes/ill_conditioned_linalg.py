"""A matrix without a usable inverse, or with equal eigenvalues

What happens
------------
Inverses, solves and determinants of singular matrices are infinite or NaN. The derivatives of eigenvectors and
singular vectors divide by differences of eigenvalues: equal ones, as in the identity matrix, give 0/0.

How it shows
------------
The birth is a linear algebra op (or its derivative); the condition number of its matrix is huge, or two spectral
values coincide.

Experiment
----------
With a small, uneven number added to the diagonal at that line, the same iterations are finite. float64 alone does not
help with exact repetition.

Remedies
--------
Add jitter, use eigvalsh or svdvals where vectors are not needed, lstsq instead of inv, another parametrisation.

Example
-------
    import torch
    a = torch.eye(3, requires_grad=True)
    u, s, v = torch.linalg.svd(a)
    (u[0, 1] + v[1, 2]).backward()
    assert not torch.isfinite(a.grad).all()
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.linalg import is_linalg, matrix
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.words import number

NAME = "ill-conditioned-linalg"
CLASS = "ill-conditioned-linalg"
REMEDIES = ("add-jitter", "stable-formulation", "float64")


def assess(inquest: Inquest) -> Assessment:
    e, seen = event(inquest), inquest.seen
    error = seen.error if seen is not None else None
    if error is not None and type(error).__name__ == "LinAlgError" and (e is None or mechanism(inquest) == "unknown"):
        return Assessment(0.8, f"A linear algebra routine gave up: {str(error).splitlines()[0][:120]}")
    if e is None or mechanism(inquest) != "linalg":
        followed = inquest.finding is not None and any(is_linalg(r.plan.base) for r in inquest.finding.path[:4])
        return Assessment(0.3, "A linear algebra op is next to the birth.") if followed else NO
    found = matrix(inquest)
    if found is None:
        return Assessment(
            0.85, f"{e.here} has no finite result for this matrix.", decisive=("op-guard",), expects={"op-guard": True}
        )
    repeated = found.gap < 1e-6
    what = (
        f"two spectral values coincide (gap {number(found.gap)} of the largest)" if repeated and e.node is not None
        else f"its condition number is {number(found.condition)}"
    )  # fmt: skip
    return Assessment(
        0.92,
        f"{e.here} works on a {found.size}x{found.size} matrix: {what}.",
        (
            saw(
                "condition number and smallest gap",
                f"{number(found.condition)}, {number(found.gap)}",
                "inverse or derivative does not exist",
            ),
        ),
        decisive=("op-guard",),
        expects={"op-guard": True, "clip": False},
    )
