"""Every cause explains itself: a page with fixed headings whose example runs, and remedies that exist."""

import textwrap

import pytest

from whynan.diagnose.catalogue import HEADINGS, CauseEntry, all_causes, page, section
from whynan.remedy.registry import load

CLASSES = {
    "bad-input", "input-scale", "exploding-gradients", "learning-rate-too-high", "bad-initialization",
    "low-precision-overflow", "low-precision-underflow", "log-of-zero", "division-by-zero", "domain-error",
    "exp-overflow", "arithmetic-overflow", "singular-gradient", "fully-masked-softmax", "empty-reduction",
    "optimizer-misuse", "loss-scaling-misuse", "uninitialized-memory", "ill-conditioned-linalg",
    "nondeterministic-fault", "indexing-or-padding", "other",
}  # fmt: skip
CAUSES = all_causes()


def test_every_class_has_a_cause() -> None:
    assert {entry.class_ for entry in CAUSES.values()} == CLASSES


@pytest.mark.parametrize("entry", CAUSES.values(), ids=CAUSES)
def test_page(entry: CauseEntry) -> None:
    for heading in HEADINGS:
        assert section(entry.page, heading), f"{entry.name} has no text under {heading!r}"


@pytest.mark.parametrize("entry", CAUSES.values(), ids=CAUSES)
def test_example_runs(entry: CauseEntry) -> None:
    example = textwrap.dedent(section(entry.page, "Example"))
    assert "assert" in example
    exec(compile(example, f"<example of {entry.name}>", "exec"), {"__name__": "example"})


@pytest.mark.parametrize("entry", CAUSES.values(), ids=CAUSES)
def test_remedies_exist(entry: CauseEntry) -> None:
    assert set(entry.remedies) <= {*load(), "other"}


def test_a_class_gives_the_pages_of_its_causes() -> None:
    assert page("where-trap") in page("singular-gradient")
    with pytest.raises(KeyError, match="Causes are"):
        page("no-such-cause")
