"""Programs for `whynan check`: each with what is wrong in it, in the shape in which people write training code."""

from __future__ import annotations

HEAD = """
import argparse, sys
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
torch.manual_seed(0)
X, Y = torch.randn(320, 5), torch.randn(320, 1)
model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 1))
opt = torch.optim.SGD(model.parameters(), lr=0.01)
def step(x, y):
    loss = F.mse_loss(model(x), y)
    opt.zero_grad(); loss.backward(); opt.step()
"""

PROGRAMS: dict[str, str] = {
    "sound": "for i, (x, y) in enumerate(DataLoader(TensorDataset(X, Y), 32)):\n    step(x, y)\n",
    "workers": """
X[177, 3] = float("nan")
for epoch in range(3):
    for x, y in DataLoader(TensorDataset(X, Y), 32, shuffle=True, num_workers=1):
        step(x, y)
""",
    "infinite": """
class Forever(IterableDataset):
    def __iter__(self):
        while True:
            yield torch.randn(5), torch.randn(1)
for x, y in DataLoader(Forever(), 16):
    step(x, y)
""",
    "dict batches": """
X[20, 1] = -float("inf")
data = [{"features": x, "value": y} for x, y in zip(X, Y)]
for batch in DataLoader(data, 32):
    step(batch["features"], batch["value"])
""",
    "function, accumulation": """
def train(model, loader, epochs):
    for epoch in range(epochs):
        for i, (x, y) in enumerate(loader):
            weight = y > 9 if i == 7 else y < 9
            loss = F.mse_loss(model(x)[weight], y[weight])  # empty
            loss.backward()
            if (i + 1) % 2 == 0:
                opt.step(); opt.zero_grad()
train(model, DataLoader(TensorDataset(X, Y), 32), 2)
""",
    "arguments": """
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
opt.param_groups[0]["lr"] = parser.parse_args().lr
for i in range(5):
    print("before", i, flush=True)
    step(X, Y)
    with open("log.txt", "a") as log: log.write("one\\n")
""",
    "two optimizers": """
other = nn.Linear(5, 1)
opt2 = torch.optim.Adam(other.parameters(), eps=0.0)
for x, y in DataLoader(TensorDataset(X, Y), 32):
    step(x, y)
    loss = F.mse_loss(other(x), y)
    opt2.zero_grad(); loss.backward(); opt2.step()
""",
    "closure": """
opt = torch.optim.LBFGS(model.parameters())
for i in range(3):
    def closure():
        opt.zero_grad()
        loss = F.mse_loss(model(X), Y)
        loss.backward()
        return loss
    opt.step(closure)
""",
    "no step": "with torch.no_grad():\n    for x in X: model(x)\n",
    "fails at once": """
for x, y in DataLoader(TensorDataset(X, Y), 32):
    loss = torch.log(model(x) * 0).mean()  # born
    opt.zero_grad(); loss.backward(); opt.step()
""",
    "raises on nan": """
for x, y in DataLoader(TensorDataset(X, Y), 32):
    loss = torch.sqrt(model(x) - 100).mean()  # born
    if torch.isnan(loss):
        raise RuntimeError("loss is nan")
    opt.zero_grad(); loss.backward(); opt.step()
""",
    "raises": "for x, y in DataLoader(TensorDataset(X, Y), 32):\n    step(x[:, :4], y)\n",
    "exits": "print('bye')\nsys.exit(5)\n",
    "loader raises": """
class Broken(IterableDataset):
    def __iter__(self):
        for i in range(100):
            if i == 70: raise OSError("shard 2 is truncated")
            yield X[i], Y[i]
for x, y in DataLoader(Broken(), 16):
    step(x, y)
""",
    "embedding": """
ids = torch.randint(0, 10, (320, 4))
ids[300, 2] = 10
table = nn.Embedding(10, 5)
opt = torch.optim.SGD([*table.parameters(), *model.parameters()], lr=0.01)
for tokens, y in DataLoader(TensorDataset(ids, Y), 32):
    step(table(tokens).mean(1), y)
""",
    "slices": """
data = np.random.default_rng(0).normal(size=(400, 5)).astype("float32")
data[123, 2] = np.nan
for i in range(0, 400, 50):
    step(torch.from_numpy(data[i:i + 50]), Y[:50])
""",
    "next in the body": """
X[250:, 4] = float("nan")
batches = iter(DataLoader(TensorDataset(X, Y), 32))
for i in range(8):
    x, y = next(batches)
    step(x, y)
""",
    "draws": """
X[:20] = 0
for i in range(50):
    rows = torch.randint(0, 320, (2,))
    loss = (model(X[rows]).squeeze() / X[rows].norm(dim=1)).mean()
    opt.zero_grad(); loss.backward(); opt.step()
""",
    "memory": """
class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(5))
    def forward(self, x): return x * self.weight
model.insert(0, Scale())
with torch.no_grad():
    nn.init.normal_(model[1].weight)
for x, y in DataLoader(TensorDataset(X, Y), 32):
    step(x.clamp(0, 0), y)
""",
    "validation": """
from torch.utils.data import random_split
X[:, 0] += torch.arange(320) / 160
spoilt = X.clone(); spoilt[123, 3] = float("nan"); spoilt[124, 3] = float("inf")
class Trainer:
    def __init__(self, train, val):
        self.train, self.val = DataLoader(train, 32, shuffle=True), DataLoader(val, 32)
    def fit(self):
        for epoch in range(3):
            for i, (x, y) in enumerate(self.train):
                step(x, y)
            with torch.no_grad():
                print(sum(F.mse_loss(model(x), y) for x, y in self.val))
part = torch.utils.data.Subset(TensorDataset(spoilt, Y), range(100, 160))
Trainer(random_split(TensorDataset(X, Y), [200, 120])[0], part).fit()
""",
    "functional": """
text = torch.randint(0, 12, (500,))
table, out = (torch.nn.Parameter(torch.randn(*s) * 0.1) for s in ((12, 8), (8, 12)))
mask = torch.triu(torch.full((16, 16), float("-inf")), 1)
opt = torch.optim.AdamW([table, out], lr=1e-3)
def attend(x):
    e = torch.exp(x @ x.transpose(1, 2) + mask)  # exp
    return e / e.sum(-1, keepdim=True) @ x
for i in range(20):
    at = torch.randint(0, 480, (8,))
    ids = torch.stack([text[j:j + 17] for j in at])
    loss = F.cross_entropy((attend(table[ids[:, :-1]]) @ out).transpose(1, 2), ids[:, 1:])
    opt.zero_grad(); loss.backward(); opt.step()
""",
    "imputed": """
rows = np.random.default_rng(0).normal(size=(320, 5))
rows[::7, 3] = np.nan
mean = rows.mean(axis=0)
filled = torch.tensor(np.where(np.isnan(rows), mean, rows), dtype=torch.float32)
for epoch in range(3):
    for i in range(0, 320, 32):
        step(filled[i:i + 32], Y[i:i + 32])
""",
    "classes": """
score = nn.Linear(5, 4)
label = torch.arange(320) % 4 + 1
for x, y in DataLoader(TensorDataset(X, label), 32):
    loss = F.cross_entropy(score(x), y)
    loss.backward(); opt.step()
""",
    "early": """
opt = torch.optim.SGD(model.parameters(), lr=30.0)
for epoch in range(2):
    for i in range(0, 320, 8):
        step(X[i:i + 8], Y[i:i + 8] * 100)  # grows
""",
    "imported": """
from helper import focal
for x, y in DataLoader(TensorDataset(X, (Y > 0).float()), 32):
    loss = focal(model(x), y)
    opt.zero_grad(); loss.backward(); opt.step()
""",
    "by hand": """
w = torch.zeros(5, 1, requires_grad=True)
for x, y in DataLoader(TensorDataset(X, Y), 32):
    loss = ((x @ w - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        w -= 0.01 * w.grad
        w.grad = None
""",
}


HELPER = """import torch

def focal(scores, y):
    p = torch.softmax(torch.cat([scores, -scores], 1), 1)
    return -(y * torch.log(p[:, :1] + 1e-6)).mean() - torch.log(torch.softmax(scores, 1)).mean()

def entropy(scores):
    return -torch.log(torch.softmax(scores, 1)).mean()
"""
FILES: dict[str, dict[str, str]] = {"imported": {"helper.py": HELPER}}
"""What lies beside the program."""


def source_of(name: str) -> str:
    """The whole program; the one that updates its weights by hand makes no optimizer."""
    lines = HEAD.splitlines() if name != "by hand" else [line for line in HEAD.splitlines() if "opt" not in line]
    return "\n".join(lines) + "\n" + PROGRAMS[name]
