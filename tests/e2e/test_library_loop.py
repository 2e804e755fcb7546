"""The training loop belongs to an installed library: the program is run again up to the failing step."""

import json
from pathlib import Path

import pytest

from e2e.test_shapes import whynan

LIBRARY = """
def fit(train, loader):
    for batch in loader:
        train(batch)
"""
SCRIPT = """
import torch
from torch.utils.data import DataLoader, TensorDataset
from fitlib import fit
torch.manual_seed(0)
net = torch.nn.Linear(3, 1)
opt = torch.optim.SGD(net.parameters(), lr=1e-2)
x = torch.rand(80, 3)
x[FIRST:, 1] = BAD
def train(batch):
    opt.zero_grad()
    loss = FORWARD
    loss.backward()
    opt.step()
fit(train, DataLoader(TensorDataset(x), batch_size=8))
"""


@pytest.mark.parametrize(
    "bad, forward, phase, op",
    [
        ("float('nan')", "net(batch[0]).square().mean()", "data", None),
        ("0.0", "net(batch[0].log()).mean()", "forward", "aten::log"),
    ],
)
def test_library_loop(tmp_path: Path, bad: str, forward: str, phase: str, op: str | None) -> None:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "fitlib.py").write_text(LIBRARY)
    text = SCRIPT.replace("FIRST", "43").replace("BAD", bad).replace("FORWARD", forward)
    (tmp_path / "t.py").write_text("import sys; sys.path.insert(0, 'site-packages')\n" + text)
    done = whynan("--json", "r.json", "--no-case", "--no-fixes", "--why-budget", 0, "t.py", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    birth = report["birth"]
    assert (birth["phase"], birth["op"], birth["step"]) == (phase, op, 5)
    assert report["reproduced"] == "rerun" and birth["line"] is not None
