"""The third stage: Hypothesis draws sizes, structures and values together, and shrinks what it finds."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from whynan.preflight.fuzz.edges import interesting
from whynan.preflight.fuzz.fills import constants, discrete, dtype_of, fitted, related, reranged, shaped, typical
from whynan.preflight.fuzz.plans import Plan, Slot, nudged
from whynan.preflight.fuzz.probe import Values

if TYPE_CHECKING:
    from whynan.preflight.fuzz.hunt import Hunt

LARGEST = 6  # of a size that is drawn
ELEMENTS = 16  # that are drawn one by one; a larger tensor repeats them


class _Found(Exception):
    """Carries nothing: Hypothesis shrinks towards the smallest input that raises it."""


def search(hunt: Hunt, plan: Plan, seed: int, examples: int) -> bool:
    """Draw up to `examples` inputs; new failures end up in `hunt`. False where Hypothesis is not installed."""
    try:
        import hypothesis  # noqa: F401
    except ImportError:
        return False
    with _elsewhere():
        _attempts(hunt, plan, seed, examples)
    return True


@contextlib.contextmanager
def _elsewhere() -> Iterator[None]:
    """Hypothesis keeps files in the current folder, which is the user's: here it keeps them in a temporary one."""
    from hypothesis import configuration

    before = vars(configuration).get("__hypothesis_home_directory")
    with tempfile.TemporaryDirectory() as folder:
        configuration.set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            configuration.set_hypothesis_home_dir(before)


def _attempts(hunt: Hunt, plan: Plan, seed: int, examples: int) -> None:
    import hypothesis
    from hypothesis import HealthCheck, Phase, Verbosity, given, settings

    known = set(hunt.failures)

    @settings(
        max_examples=examples, database=None, deadline=None, phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck), verbosity=Verbosity.quiet, report_multiple_bugs=False,
    )  # fmt: skip
    @hypothesis.seed(seed)
    @given(_inputs(hunt, plan))
    def attempt(drawn: tuple[Plan, Values]) -> None:
        if hunt.left <= 0:
            return
        key = hunt.look(*drawn)
        if key is not None and key not in known:
            raise _Found

    for _ in range(3):  # one new place at a time, for that is what shrinking keeps
        try:
            attempt()
            return
        except _Found:
            known = set(hunt.failures)
        except BaseExceptionGroup:
            known = set(hunt.failures)
        except hypothesis.errors.Flaky:  # the deadline passed while it was shrinking
            return


def _inputs(hunt: Hunt, plan: Plan) -> Any:
    from hypothesis import strategies as st

    dtype = hunt.prober.dtype
    letters = sorted({d for s in plan.slots for d in s.dims if isinstance(d, str)} - plan.fixed)

    @st.composite
    def inputs(draw: Any) -> tuple[Plan, Values]:
        sizes = {}
        for letter in letters:
            low, high = plan.spans.get(letter, (1, LARGEST))
            sizes[letter] = draw(st.integers(low, high))
        sized = reranged(plan.with_sizes(**sizes))
        values: list[Any] = []
        for slot in sized.slots:
            values.append(_value(draw, slot, sized, dtype, values))
        return sized, tuple(values)

    return inputs()


def _value(draw: Any, slot: Slot, plan: Plan, dtype: torch.dtype, before: list[Any]) -> Any:
    """One argument: drawn elements, a structure, or something made from an earlier argument of the same shape."""
    from hypothesis import strategies as st

    if slot.kind == "constant":
        return slot.constant
    shape = plan.shape(slot)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    if not slot.floating:
        return _chosen(draw, list(discrete(slot, plan, generator)))
    twins = [v for v in before if isinstance(v, Tensor) and v.is_floating_point() and tuple(v.shape) == shape]
    how = draw(st.sampled_from(["elements", "structure", "constant", "ordinary", *["related"] * bool(twins)]))
    if how == "ordinary":
        return typical(slot, plan, dtype, generator)
    if how == "related":
        return _chosen(draw, list(related(slot, draw(st.sampled_from(twins)), dtype, generator)))
    if how == "structure":
        return _chosen(draw, list(shaped(slot, plan, dtype, generator)) or list(constants(slot, plan, dtype)))
    if how == "constant":
        return _chosen(draw, list(constants(slot, plan, dtype)))
    return _elements(draw, slot, shape, dtype)


def _chosen(draw: Any, options: list[tuple[str, Tensor]]) -> Tensor:
    from hypothesis import strategies as st

    return options[draw(st.integers(0, len(options) - 1))][1]


def _elements(draw: Any, slot: Slot, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    from hypothesis import strategies as st

    kind = dtype_of(slot, dtype)
    low, high = nudged(slot.domain, torch.finfo(kind).eps)
    count = 1
    for n in shape:
        count *= n
    edge = st.sampled_from(interesting(kind, low, high) or (low,))
    drawn = draw(st.lists(edge | st.floats(low, high), min_size=min(count, ELEMENTS), max_size=min(count, ELEMENTS)))
    if not count:
        return torch.zeros(shape, dtype=kind)
    flat = torch.tensor(drawn, dtype=torch.float64).repeat(-(-count // len(drawn)))[:count]
    return fitted(flat.reshape(shape), slot.domain, kind)
