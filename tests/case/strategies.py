"""Any report, for property tests: every field of every dataclass of `facts`, optional ones included."""

from __future__ import annotations

import dataclasses

from hypothesis import strategies as st

from whynan.case import facts
from whynan.case.serial import hints

_KINDS = [kind for kind in vars(facts).values() if dataclasses.is_dataclass(kind) and kind is not facts.Report]


def _of(kind: type, **given: st.SearchStrategy) -> st.SearchStrategy:
    names = [field.name for field in dataclasses.fields(kind)]
    return st.builds(kind, **{name: st.from_type(hints(kind)[name]) for name in names if name not in given}, **given)


for _kind in _KINDS:
    st.register_type_strategy(_kind, st.deferred(lambda kind=_kind: _of(kind)))  # type: ignore[misc]

_SERIES = st.lists(st.floats() | st.none() | st.integers(-5, 5), max_size=4)
REPORTS = st.deferred(
    lambda: _of(
        facts.Report,
        schema=st.just(facts.SCHEMA),
        history=st.dictionaries(st.sampled_from(["step", "loss", "grad norm"]), _SERIES, max_size=2),
    )
)
