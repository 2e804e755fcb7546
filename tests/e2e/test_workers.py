"""A sample that a worker of a DataLoader handed out is followed to the line that made it."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

SCRIPT = """
import torch
from torch.utils.data import DataLoader, Dataset


class Directions(Dataset):
    def __init__(self):
        points = torch.randn(64, 4)
        points[40] = 0.0
        self.directions = points / points.norm(dim=1, keepdim=True)  # birth

    def __len__(self):
        return len(self.directions)

    def __getitem__(self, index):
        return self.directions[index], self.directions[index].sum()


def main():
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(Directions(), batch_size=4, num_workers=2, persistent_workers=PERSISTENT)
    for epoch in range(2):
        for x, y in loader:
            loss = (model(x)[:, 0] - y).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("persistent", ["False", "True"])
def test_a_sample_that_a_worker_handed_out(persistent: str, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:  # workers meet in sockets there, whose paths must be short
        check(persistent, tmp_path, Path(temporary))


def check(persistent: str, tmp_path: Path, temporary: Path) -> None:
    source = SCRIPT.replace("PERSISTENT", persistent)
    (tmp_path / "train.py").write_text(source)
    line = next(i for i, text in enumerate(source.splitlines(), 1) if "# birth" in text)
    options = ["--json", "r.json", "--no-case", "--no-fixes", "--why-budget", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "whynan", "run", *options, "train.py"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 3, done.stderr
    birth = json.loads((tmp_path / "r.json").read_text())["birth"]
    assert (birth["line"], birth["op"], birth["step"]) == (line, "aten::div", 10)
    assert not [f for f in temporary.iterdir() if f.is_file()]  # tempfile tries its folder out with a file
