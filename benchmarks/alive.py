"""Early warnings and guards, measured over a corpus of failing and healthy scripts.

    python benchmarks/alive.py warnings CORPUS... [--json FILE] [--only NAME,NAME]
    python benchmarks/alive.py guards skip CORPUS... [--json FILE]

A corpus is a folder of folders with `train.py` and `truth.json` (`fails`, `step`, `cause`). `warnings` tells for every
failing case how many optimizer steps before the failure the first warning came, and how many healthy ones were
warned. `guards` runs every failing case with these guards and judges the result from outside: did the script come to
its end, and are the parameters and the state of its optimizers finite then?
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WARNING = re.compile(r"^whynan: warning at step (\d+): (.*)$", re.MULTILINE)
ACTION = re.compile(r"^whynan: guard at step (\d+): (.*)$", re.MULTILINE)
QUICK = ["--no-case", "--no-fixes", "--no-rerun", "--why-budget", "0"]
CHECK = '''
import atexit, json, os
import torch
found = []
made = torch.optim.Optimizer.__init__
def init(self, *arguments, **options):
    found.append(self)
    made(self, *arguments, **options)
torch.optim.Optimizer.__init__ = init
def look():
    tensors = [p for o in found for g in o.param_groups for p in g["params"]]
    tensors += [t for o in found for s in o.state.values() for t in s.values() if isinstance(t, torch.Tensor)]
    dense = [t.detach() for t in tensors if t.is_floating_point() and not t.is_sparse]
    json.dump({"finite": all(bool(torch.isfinite(t).all()) for t in dense), "tensors": len(dense)},
              open(os.environ["ALIVE_OUT"], "w"))
atexit.register(look)
'''


def cases(folders: list[str], only: str | None) -> Iterator[tuple[Path, dict[str, Any]]]:
    wanted = set(only.split(",")) if only else None
    for folder in folders:
        for truth in sorted(Path(folder).glob("*/truth.json")):
            if wanted is None or truth.parent.name in wanted:
                yield truth.parent, json.loads(truth.read_text())


def run(case: Path, options: list[str], seconds: float = 300.0) -> tuple[int, str, dict[str, Any]]:
    """(exit status, stderr, what was found at the end) of `whynan run` on a copy of the case."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / case.name
        shutil.copytree(case, place)
        (Path(folder) / "hook").mkdir()
        (Path(folder) / "hook" / "sitecustomize.py").write_text(CHECK)
        out = Path(folder) / "out.json"
        paths = os.pathsep.join([str(Path(folder) / "hook"), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "PYTHONPATH": paths, "ALIVE_OUT": str(out), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "whynan", "run", *QUICK, *options, "train.py"]
        try:
            done = subprocess.run(
                command, cwd=place, env=environment, capture_output=True, text=True, timeout=seconds, errors="replace"
            )
        except subprocess.TimeoutExpired:
            return 124, "", {}
        return done.returncode, done.stderr, json.loads(out.read_text()) if out.exists() else {}


def warned(case: Path, truth: dict[str, Any]) -> dict[str, Any]:
    status, err, _ = run(case, [])
    found = [(int(step), text) for step, text in WARNING.findall(err)]
    failing = truth.get("step") if truth["fails"] else None
    before = [step for step, _ in found if failing is None or step < failing]
    ahead = failing - min(before) if before and failing is not None else None
    return {"case": case.name, "fails": truth["fails"], "status": status, "step": failing, "ahead": ahead,
            "cause": truth.get("cause", []), "warnings": [f"{step}: {text}" for step, text in found]}  # fmt: skip


def guarded(case: Path, truth: dict[str, Any], words: str) -> dict[str, Any]:
    status, err, end = run(case, ["--guard", words, "--no-warnings"])
    actions = [f"{step}: {text}" for step, text in ACTION.findall(err)]
    alive = status == 0 and bool(end.get("finite")) and end.get("tensors", 0) > 0
    return {"case": case.name, "status": status, "survived": alive, "end": end, "actions": actions}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["warnings", "guards"])
    parser.add_argument("rest", nargs="+", metavar="[WORDS] CORPUS")
    parser.add_argument("--json")
    parser.add_argument("--only")
    options = parser.parse_args()
    words = options.rest.pop(0) if options.what == "guards" else ""
    results = []
    for case, truth in cases(options.rest, options.only):
        if options.what == "guards" and not truth["fails"]:
            continue
        result = warned(case, truth) if options.what == "warnings" else guarded(case, truth, words)
        results.append(result)
        shown = {k: v for k, v in result.items() if k not in ("warnings", "actions", "cause")}
        first = (result.get("warnings") or result.get("actions") or [""])[0]
        print(shown, first[:110], flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n")
    if options.what == "warnings":
        healthy = [r for r in results if not r["fails"]]
        failing = [r for r in results if r["fails"]]
        print(f"healthy warned: {sum(bool(r['warnings']) for r in healthy)} of {len(healthy)}")
        print(f"failing warned 3 or more steps ahead: {sum((r['ahead'] or 0) >= 3 for r in failing)} of {len(failing)}")
    else:
        print(f"survived: {sum(r['survived'] for r in results)} of {len(results)}")


if __name__ == "__main__":
    main()
