"""Every rule explains itself: headings, a Bad block that it reports, a Good block that no rule reports, real names."""

from __future__ import annotations

import pytest

from lint.pages import section
from whynan.diagnose.catalogue import all_causes
from whynan.lint import Settings, all_rules, lint_text
from whynan.lint.rule import HEADINGS, Rule, rules_about
from whynan.remedy.registry import load

RULES = all_rules()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_headings(rule: Rule) -> None:
    for heading in HEADINGS:
        assert section(rule.page, heading), f"{rule.code} has no text under {heading!r}"


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_bad_is_reported(rule: Rule) -> None:
    found = lint_text(section(rule.page, "Bad"), settings=Settings(extend_select=(rule.code,)))
    assert {finding.code for finding in found} == {rule.code}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_good_is_not_reported(rule: Rule) -> None:
    assert lint_text(section(rule.page, "Good"), settings=Settings(preview=True)) == []


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_examples_are_python(rule: Rule) -> None:
    for heading in ("Bad", "Good"):
        compile(section(rule.page, heading), f"<{heading} of {rule.code}>", "exec")


def known_causes() -> set[str]:
    entries = all_causes().values()
    return {entry.name for entry in entries} | {entry.class_ for entry in entries}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_causes_and_remedies_exist(rule: Rule) -> None:
    assert rule.causes and set(rule.causes) <= known_causes()
    assert rule.remedies and set(rule.remedies) <= {*load(), "other"}


def test_rules_that_a_cause_names_exist() -> None:
    """A cause may name rules, in a tuple RULES; each must exist and name the cause back."""
    import importlib

    from whynan.diagnose import causes

    named = 0
    for entry in all_causes().values():
        module = importlib.import_module(entry.assess.__module__)
        assert module.__name__.startswith(causes.__name__)
        for code in getattr(module, "RULES", ()):
            named += 1
            assert entry.name in RULES[code].causes or entry.class_ in RULES[code].causes
    assert named >= 0


def test_rules_about_a_cause() -> None:
    assert "WN102" in {rule.code for rule in rules_about("log-of-underflow")}
    assert rules_about("no-such-cause") == []


def test_codes_and_names_are_unique_and_well_formed() -> None:
    names = [rule.name for rule in RULES.values()]
    assert len(set(names)) == len(names)
    assert all(code[:2] == "WN" and code[2:].isdigit() and len(code) == 5 for code in RULES)
    assert all(name == name.lower() and " " not in name for name in names)
