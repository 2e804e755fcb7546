"""One file, one remedy, one page: the files, the pages, the live forms and the reference agree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from whynan.diagnose.catalogue import section
from whynan.diagnose.counterfactuals.base import load as load_experiments
from whynan.remedy import reference, registry, remedies
from whynan.remedy.registry import HEADINGS, PATCHED

KINDS = registry.load()
FOLDER = Path(remedies.__file__).parent


def test_one_file_for_each_remedy():
    files = {p.stem for p in FOLDER.glob("*.py")} - {"__init__"}
    assert files == {name.replace("-", "_") for name in KINDS}


@pytest.mark.parametrize("name", KINDS)
def test_page(name):
    kind = KINDS[name]
    assert kind.page.splitlines()[0].startswith(f"{name}: ")
    for heading in HEADINGS:
        assert len(section(kind.page, heading)) > 20, f"{name} says nothing under {heading!r}"


@pytest.mark.parametrize("name", KINDS)
def test_live_forms_exist_and_the_page_names_them(name):
    kind = KINDS[name]
    assert kind.live and set(kind.live) <= {*load_experiments(), PATCHED}
    assert all(f"`{live}`" in section(kind.page, "Live") for live in kind.live)


def test_the_reference_is_the_pages():
    written = Path(__file__).parents[2] / "docs" / "reference" / "remedies.md"
    assert written.read_text() == reference.reference(), "run: python -m whynan.remedy.reference > " + str(written)


def test_reading_patches_needs_no_torch():
    code = "import whynan.remedy, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    can_fail = "import whynan.remedy.live, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", can_fail]).returncode == 1
