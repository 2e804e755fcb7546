"""`%load_ext whynan` and `%%whynan`, in a shell of IPython's and in a kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from whynan.case.facts import Report, Run, Symptom
from whynan.report.notebook import notebook

SETUP = """\
import torch
torch.manual_seed(0)
model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
def train(n):
    for i in range(n):
        print("step", i)
        loss = (model(torch.rand(4, 3)) ** 2).mean()
        if i == 6:
            loss = torch.log(loss * 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return "trained"
"""
CELLS = {
    "load": "%load_ext whynan",
    "setup": SETUP,
    "healthy": "%%whynan\nx = 1\ntrain(3)",
    "failing": "%%whynan why_budget=2 case=no\nfirst = train(3)\nsecond = train(9)",
    "afterwards": "print(bool(torch.isfinite(model.weight).all()), x, first, 'second' in globals())\ntrain(2)",
    "recorded": "%%whynan why_budget=0 case=yes cases_dir=kept\ntrain(9)",
    "wrong": "%%whynan nonsense\n1",
}
DRIVER = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for name, cell in eval(sys.argv[1]).items():
    print(f"<<{name}>>", flush=True)
    print(f"<<{name}>>", flush=True, file=sys.stderr)
    shell.run_cell(cell)
"""


def parts(text: str) -> dict[str, str]:
    found = {}
    for piece in text.split("<<")[1:]:
        name, _, rest = piece.partition(">>\n")
        found[name] = rest
    return found


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], dict[str, str]]:
    """What each cell printed on stdout and on stderr."""
    pytest.importorskip("IPython")
    folder = tmp_path_factory.mktemp("shell")
    env = {**os.environ, "OMP_NUM_THREADS": "1", "IPYTHONDIR": str(folder), "NO_COLOR": "1", "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, repr(CELLS)], cwd=folder, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return parts(done.stdout), parts(done.stderr)


def test_a_healthy_cell_is_as_without(spoken: tuple[dict[str, str], dict[str, str]]) -> None:
    out, err = spoken
    assert out["healthy"].startswith("step 0\nstep 1\nstep 2\nOut[") and out["healthy"].endswith("]: 'trained'\n")
    assert err["healthy"] == ""


def test_a_failing_cell_is_explained_once(spoken: tuple[dict[str, str], dict[str, str]]) -> None:
    out, err = spoken
    steps = [*range(3), *range(7)]
    assert out["failing"] == "".join(f"step {i}\n" for i in steps)
    assert "aten::log in forward" in err["failing"]
    assert "loss = torch.log(loss * 0)" in err["failing"]
    assert "Cause:" in err["failing"] and "Traceback" not in err["failing"]


def test_the_shell_goes_on_in_the_last_healthy_state(spoken: tuple[dict[str, str], dict[str, str]]) -> None:
    out, err = spoken
    assert out["afterwards"].startswith("True 1 trained False\nstep 0\nstep 1\n")
    assert err["afterwards"] == ""


def test_a_case_is_recorded_on_request(
    spoken: tuple[dict[str, str], dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One, for the cell that asked; its folder is said, and it can be executed again."""
    _, err = spoken
    folder = tmp_path_factory.getbasetemp() / "shell0"
    cases = list((folder / "kept").iterdir())
    assert len(cases) == 1 and not (folder / "whynan-cases").exists()
    assert f"case kept/{cases[0].name}" in err["recorded"] and "case" not in err["failing"]
    names = {path.name for path in cases[0].iterdir()}
    assert {"report.json", "report.html", "tensors"} <= names
    command = [sys.executable, "-m", "whynan", "replay", str(cases[0])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "Confirmed: Inf is born again in aten::log" in done.stdout + done.stderr


def test_a_word_that_is_no_setting(spoken: tuple[dict[str, str], dict[str, str]]) -> None:
    out, err = spoken
    assert "'nonsense' is no setting. Write NAME=VALUE" in out["wrong"] + err["wrong"]


def test_a_report_shows_itself_in_a_frame() -> None:
    symptom = Symptom(step=3, iteration=3, what="loss", name='<img src="x">', value="nan")
    report = Report(verdict="nonfinite", run=Run(script="a.py"), symptom=symptom)
    text = report._repr_html_()
    assert text == notebook(report)
    assert text.startswith("<iframe ") and text.count("<") == 2  # the page is an attribute, every < of it escaped
    assert "<p>" in Report(verdict="healthy", run=Run(script="a.py"))._repr_html_()


@pytest.mark.slow
def test_a_kernel_shows_the_page(tmp_path: Path) -> None:
    pytest.importorskip("ipykernel")
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS.values()]
    nbclient.NotebookClient(book, timeout=120, allow_errors=True, resources={"metadata": {"path": tmp_path}}).execute()
    said = dict(zip(CELLS, (cell.outputs for cell in book.cells), strict=True))
    pages = [out["data"]["text/html"] for out in said["failing"] if out.output_type == "display_data"]
    assert len(pages) == 1 and pages[0].startswith("<iframe ")
    streams = "".join(out["text"] for out in said["failing"] if out.output_type == "stream")
    assert streams == "".join(f"step {i}\n" for i in [*range(3), *range(7)])
