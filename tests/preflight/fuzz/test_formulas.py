"""Real formulas: every broken one is found, within ten seconds of CPU, and nothing is said about the stable ones."""

from __future__ import annotations

import time

import pytest

from preflight.fuzz.formulas import broken, facts, stable
from preflight.fuzz.searching import broken_by, names, search

FAST = ("entropy", "euclidean", "standardise", "softplus", "attention", "gamma_correction", "RMSNorm")
LIMIT = 10.0  # seconds of CPU


def _made(module, name):
    given = getattr(module, name)
    return given() if isinstance(given, type) else given


def _check_broken(module, name, **options):
    given = getattr(module, name)
    begun = time.process_time()
    report = search(given, **options)
    assert time.process_time() - begun < LIMIT
    assert report.findings, report.remarks
    first = report.findings[0]
    assert first.file == module.__file__ and first.expression and first.cause
    assert broken_by(_made(module, name), [a.literal for a in first.inputs], first.what)


def test_the_lists_are_complete() -> None:
    assert names(broken) == names(stable)
    assert len(names(broken)) >= 40


@pytest.mark.parametrize("name", FAST)
def test_broken_formulas_are_found(name) -> None:
    _check_broken(broken, name)


@pytest.mark.parametrize("name", FAST)
def test_stable_forms_are_not_reported(name) -> None:
    assert search(getattr(stable, name)).findings == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in names(broken) if n not in FAST])
def test_all_broken_formulas_are_found(name) -> None:
    _check_broken(broken, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in names(stable) if n not in FAST])
def test_no_stable_form_is_reported(name) -> None:
    assert search(getattr(stable, name)).findings == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", names(facts))
def test_formulas_of_the_facts_are_found(name) -> None:
    options = facts.OPTIONS.get(name, {})
    _check_broken(facts, name, **options)
