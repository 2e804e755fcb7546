"""`whynan check` on programs of many shapes (tests/e2e/check_programs.py), forked from one process to save time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from e2e.check_programs import FILES, PROGRAMS, source_of

OPTIONS: dict[str, list[str]] = {"infinite": ["--seconds", "1"], "sound": ["--html", "page.html"]}
ARGUMENTS = {"arguments": ["--lr", "0.5"]}
WITH_MEMORY = "memory"  # the others do without the second process


@dataclass
class Checked:
    status: int
    out: str
    err: str
    answer: dict[str, Any] | None
    folder: Path

    @property
    def kinds(self) -> dict[str, dict[str, Any]]:
        assert self.answer is not None, self.err
        return {p["kind"]: p for p in reversed(self.answer["problems"])}

    @property
    def serious(self) -> set[str]:
        assert self.answer is not None, self.err
        return {p["kind"] for p in self.answer["problems"] if p["severity"] != "note"}


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Checked]:
    folder = tmp_path_factory.mktemp("check")
    for name in PROGRAMS:
        (folder / name).mkdir()
        (folder / name / "train.py").write_text(source_of(name))
        for file, text in FILES.get(name, {}).items():
            (folder / name / file).write_text(text)
        rerun = [] if name == WITH_MEMORY else ["--no-rerun"]
        target = ["-m", "train"] if name == "two optimizers" else ["train.py", *ARGUMENTS.get(name, [])]
        command = ["check", "--seconds", "60", *OPTIONS.get(name, []), *rerun, "--json", "check.json", *target]
        (folder / name / "arguments.json").write_text(json.dumps(command))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    driver = Path(__file__).with_name("check_driver.py")
    subprocess.run([sys.executable, str(driver), str(folder)], env=environment, timeout=600, check=True)
    return {name: _read(folder / name) for name in PROGRAMS}


def _read(folder: Path) -> Checked:
    def text(name: str) -> str:
        return (folder / name).read_text() if (folder / name).exists() else ""

    answer = json.loads(text("check.json")) if (folder / "check.json").exists() else None
    return Checked(int(text("status.txt") or -1), text("out.txt"), text("err.txt"), answer, folder)


def line_of(name: str, comment: str) -> int:
    return next(i for i, line in enumerate(source_of(name).splitlines(), 1) if comment in line)


def test_a_sound_program_is_ready(checked: Mapping[str, Checked]) -> None:
    it = checked["sound"]
    assert (it.status, it.out, it.serious) == (0, "", set()), it.err
    assert it.answer is not None and it.answer["verdict"] == "ready"
    assert (it.answer["batches"], it.answer["samples"], it.answer["complete"]) == (10, 320, True)
    assert it.answer["tried"] == 10
    assert "nothing found" in it.err and "<h1>" in (it.folder / "page.html").read_text()


def test_nothing_is_left_behind(checked: Mapping[str, Checked]) -> None:
    own = {"train.py", "arguments.json", "check.json", "page.html", "log.txt", "out.txt", "err.txt", "status.txt"}
    for name, it in checked.items():
        assert {p.name for p in it.folder.iterdir()} - own - {*FILES.get(name, {})} - {"__pycache__"} == set(), name
    assert (checked["arguments"].folder / "log.txt").read_text() == "one\n"  # the step that the program did itself


@pytest.mark.parametrize(
    ("name", "kind", "samples"),
    [("workers", "nan-in-column", [177]), ("dict batches", "inf-in-column", [20]), ("slices", "nan-in-column", [123])],
)
def test_rows_of_bad_data(checked: Mapping[str, Checked], name: str, kind: str, samples: list[int]) -> None:
    problem = checked[name].kinds[kind]
    assert (problem["severity"], problem["samples"]) == ("error", samples)
    fails = "nonfinite-at-once" if name == "dict batches" else "batch-fails"
    assert fails in checked[name].kinds and checked[name].status == 1


def test_names_of_the_data(checked: Mapping[str, Checked]) -> None:
    assert checked["workers"].kinds["nan-in-column"]["where"] == "x, column 3"
    assert checked["dict batches"].kinds["inf-in-column"]["where"] == "batch['features'], column 1"
    assert checked["slices"].kinds["nan-in-column"]["where"] == "data, column 2"


def test_loaders_without_end_and_loaders_that_fail(checked: Mapping[str, Checked]) -> None:
    answer = checked["infinite"].answer
    assert answer is not None and not answer["complete"] and checked["infinite"].status == 0
    it = checked["loader raises"]
    assert it.answer is not None and any("OSError: shard 2 is truncated" in note for note in it.answer["notes"])


def test_a_batch_that_fails_later(checked: Mapping[str, Checked]) -> None:
    """Gradient accumulation inside of a function: the eighth batch selects nothing."""
    it = checked["function, accumulation"]
    problem = it.kinds["batch-fails"]
    assert (problem["line"], "batch 7" in problem["message"]) == (line_of("function, accumulation", "# empty"), True)
    assert problem["samples"] == list(range(224, 232))


def test_batches_that_the_body_draws(checked: Mapping[str, Checked]) -> None:
    assert checked["next in the body"].kinds["nan-in-column"]["severity"] == "error"
    assert "batch-fails" in checked["next in the body"].kinds
    assert "aten::div" in checked["draws"].kinds["batch-fails"]["message"]


def test_data_of_loops_that_come_later(checked: Mapping[str, Checked]) -> None:
    """A NaN that only validation has: by the variable, and by the row of the data set beneath the subset."""
    it = checked["validation"]
    assert it.answer is not None and it.answer["loaders"] == {"self.val": 60} and it.answer["samples"] == 200
    nan, inf = it.kinds["nan-in-column"], it.kinds["inf-in-column"]
    assert (nan["where"], nan["samples"], nan["severity"]) == ("self.val: x, column 3", [123, 124], "warning")
    assert inf["where"] == "self.val: x, column 3"
    assert it.serious == {"nan-in-column", "inf-in-column"} and (it.status, it.out) == (1, "")


def test_functional_code_has_headroom_by_line(checked: Mapping[str, Checked]) -> None:
    it = checked["functional"]
    assert it.answer is not None and (it.status, it.serious) == (0, set()), it.err
    assert {c["tensor"] for c in it.answer["columns"]} == {"text"}  # a mask is no data
    row = next(o for o in it.answer["ops"] if o["op"] == "aten::exp" and o["argument"] == "self")
    assert row["line"] == line_of("functional", "# exp") and "below 11.09" in row["float16"] and row["autocast"]
    assert "In half precision" in it.err and f"train.py:{row['line']}" in it.err


def test_a_mean_over_missing_values(checked: Mapping[str, Checked]) -> None:
    it = checked["imputed"]
    assert it.kinds["nan-statistic"]["where"] == "mean" and "column 3 of filled" in it.kinds["nan-statistic"]["message"]
    assert it.kinds["nonfinite-at-once"]["where"] == "filled" and it.kinds["nan-in-column"]["samples"][:2] == [0, 7]
    assert it.answer is not None and any("rows holds NaN" in note for note in it.answer["notes"])


def test_classes_that_begin_at_1(checked: Mapping[str, Checked]) -> None:
    problem = checked["classes"].kinds["target-out-of-range"]
    assert (problem["where"], problem["measured"], problem["remedy"]) == (
        "y", "targets from 1 to 4", "y = y - 1  # from 0 on",
    )  # fmt: skip


def test_a_run_that_breaks_in_its_first_updates(checked: Mapping[str, Checked]) -> None:
    it = checked["early"]
    assert it.serious >= {"fails-early", "large-rate"} and it.kinds["fails-early"]["line"] is not None
    assert it.answer is not None and 1 < it.answer["updates"] < 60
    sound = checked["sound"].answer
    assert sound is not None and sound["updates"] == 10


def test_modules_of_the_users_are_read(checked: Mapping[str, Checked]) -> None:
    """A formula of a module counts where it ran and reaches the loss."""
    it = checked["imported"]
    found = {p["where"]: p for p in (it.answer or {})["problems"] if p["part"] == "source"}
    assert found["helper.py:5"]["severity"] == "warning" and found["helper.py:8"]["severity"] == "note"


def test_standard_output_and_arguments_are_the_programs(checked: Mapping[str, Checked]) -> None:
    it = checked["arguments"]
    assert it.out == "before 0\n" and it.answer is not None
    assert "lr=0.5" in next(iter(it.answer["settings"].values()))


def test_all_optimizers_are_looked_at(checked: Mapping[str, Checked]) -> None:
    it = checked["two optimizers"]
    assert it.answer is not None and len(it.answer["settings"]) == 2
    assert it.serious == {"eps-zero"} and it.answer["program"] == "train"


@pytest.mark.parametrize("name", ["closure", "by hand"])
def test_other_ways_to_step(checked: Mapping[str, Checked], name: str) -> None:
    assert (checked[name].status, checked[name].serious) == (0, set()), checked[name].err


def test_programs_without_a_step(checked: Mapping[str, Checked]) -> None:
    assert checked["no step"].status == 2 and "came to no training step" in checked["no step"].err
    assert checked["exits"].status == 5 and checked["exits"].out == "bye\n"


@pytest.mark.parametrize("name", ["fails at once", "raises on nan"])
def test_a_first_step_that_is_not_finite(checked: Mapping[str, Checked], name: str) -> None:
    it = checked[name]
    problem = it.answer["problems"][0] if it.answer else {}
    assert (problem["severity"], problem["line"]) == ("error", line_of(name, "# born"))
    assert it.status == 1 and "next whynan run train.py" in it.err


def test_a_first_step_that_raises(checked: Mapping[str, Checked]) -> None:
    it = checked["raises"]
    assert "RuntimeError: mat1 and mat2" in it.kinds["raises-at-once"]["message"] and it.status == 1
    assert it.kinds["raises-at-once"]["line"] == line_of("raises", "loss = F.mse_loss")


def test_indices_without_a_row(checked: Mapping[str, Checked]) -> None:
    it = checked["embedding"]
    problem = it.kinds["index-out-of-range"]
    assert (problem["measured"], problem["samples"]) == ("indices from 0 to 10", [300])
    assert "IndexError" in it.kinds["batch-raises"]["message"]


def test_memory_that_nobody_filled(checked: Mapping[str, Checked]) -> None:
    assert checked["memory"].kinds["uninitialised-memory"]["where"] == "0.weight", checked["memory"].err


def test_the_command_in_a_process_of_its_own(tmp_path: Path) -> None:
    """Findings for CI on stdout, what the program prints on stderr, exit status by severity."""
    (tmp_path / "train.py").write_text("print('mine')\n" + source_of("two optimizers"))
    options = ["--format", "github", "--fail-on", "error", "--no-rerun"]
    command = [sys.executable, "-m", "whynan", "check", *options, "train.py"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "mine" in done.stderr
    first = done.stdout.splitlines()[0]
    assert first.startswith("::error file=train.py,line=18,") and "eps is 0" in first
