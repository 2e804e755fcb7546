"""Every cause is a page with the same headings, an example that runs, and names that exist elsewhere."""

from __future__ import annotations

import textwrap
import warnings

import pytest

from whynan.diagnose import all_causes, page
from whynan.diagnose.catalogue import HEADINGS, section
from whynan.diagnose.counterfactuals.base import load as experiments
from whynan.remedy.registry import load as remedies

CLASSES = frozenset(
    "bad-input input-scale exploding-gradients learning-rate-too-high bad-initialization low-precision-overflow "
    "low-precision-underflow log-of-zero division-by-zero domain-error exp-overflow arithmetic-overflow "
    "singular-gradient fully-masked-softmax empty-reduction optimizer-misuse loss-scaling-misuse uninitialized-memory "
    "ill-conditioned-linalg nondeterministic-fault indexing-or-padding other".split()
)
REMEDIES = frozenset(
    "clip-gradients lower-learning-rate warmup reinitialize normalize-inputs drop-bad-batch impute-inputs "
    "full-precision float64 bfloat16 add-eps clamp stable-formulation safe-where mask-safe-softmax guard-empty "
    "raise-optimizer-eps clip-before-step zero-grad unscale-before-clip initialize-memory add-jitter "
    "normalization-layer change-optimizer other".split()
)
ENTRIES = list(all_causes().values())
IDS = [entry.name for entry in ENTRIES]


def test_every_class_has_a_cause():
    assert {entry.class_ for entry in ENTRIES} == CLASSES


@pytest.mark.parametrize("entry", ENTRIES, ids=IDS)
def test_names_and_remedies(entry):
    assert entry.name.replace("-", "").isalnum()
    assert entry.remedies and set(entry.remedies) <= REMEDIES


def test_remedies_of_the_remedy_room_have_the_same_names():
    assert set(remedies()) <= REMEDIES


@pytest.mark.parametrize("entry", ENTRIES, ids=IDS)
def test_page_has_its_headings_in_order(entry):
    places = [entry.page.index(f"\n{heading}\n{'-' * len(heading)}\n") for heading in HEADINGS]
    assert places == sorted(places)
    assert all(section(entry.page, heading).strip() for heading in HEADINGS)


@pytest.mark.parametrize("entry", ENTRIES, ids=IDS)
def test_example_shows_the_failure(entry):
    code = textwrap.dedent(section(entry.page, "Example"))
    assert "assert" in code
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(code, entry.name, "exec"), {})


def test_a_page_is_found_by_name_and_by_class():
    assert page("where-trap").startswith("The branch that was not chosen")
    assert "Gradients are clipped after the step" in page("optimizer-misuse")
    with pytest.raises(KeyError, match="is no cause"):
        page("gremlins")


def test_experiments_say_what_they_do():
    for experiment in experiments().values():
        assert experiment.title.split()[0] in ("with", "in"), experiment.name
        assert experiment.start in ("recent", "early", "first")
