"""Classifier whose per-class recall is NaN in epochs where the validation sample lacks the class."""
import warnings

import numpy as np
import torch
from torch import nn

warnings.simplefilter("ignore")
rng = np.random.default_rng(6)
centres = rng.normal(size=(5, 7)) * 2
labels = rng.choice(5, size=700, p=[0.45, 0.3, 0.15, 0.08, 0.02])
points = (centres[labels] + rng.normal(size=(700, 7))).astype(np.float32)


class History(dict):
    def add(self, **values):
        for name, value in values.items():
            self.setdefault(name, []).append(float(value))

    def best(self, name):
        return np.nanmax(self.get(name, [np.nan]))


def recalls(predicted, label):
    hit = torch.zeros(5).index_add(0, label, (predicted == label).float())
    return hit / torch.bincount(label, minlength=5)


torch.manual_seed(6)
model = nn.Sequential(nn.Linear(7, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 5))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
history = History()
for epoch in range(8):
    model.train()
    order = rng.permutation(600)
    for rows in np.array_split(order, 12):
        x, y = torch.from_numpy(points[rows]), torch.from_numpy(labels[rows])
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    sample = 600 + rng.choice(100, size=12, replace=False)
    with torch.no_grad():
        r = recalls(model(torch.from_numpy(points[sample])).argmax(1), torch.from_numpy(labels[sample]))
    worst = torch.tensor([]).mean()
    history.add(loss=loss, mean_recall=r.mean(), common=r.nanmean(), warm=worst if epoch == 0 else r[0])
    print(epoch, f"loss {loss.item():.4f} recalls {[round(v, 2) for v in r.tolist()]} mean {r.mean():.3f}")
print("best", history.best("common"), history.best("warm"))
