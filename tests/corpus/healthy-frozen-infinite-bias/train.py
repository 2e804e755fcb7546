"""Tagger with a frozen transition table that holds -inf, an EMA copy and checkpoints on disk."""
import os
import tempfile

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class Tagger(nn.Module):
    """Scores of tag sequences O, B, I; I may not follow O."""

    def __init__(self):
        super().__init__()
        self.emission = nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Linear(24, 3))
        table = torch.zeros(3, 3)
        table[0, 2] = -torch.inf
        self.transition = nn.Parameter(table, requires_grad=False)

    def forward(self, x):
        return self.emission(x)

    def loss(self, x, tags):
        e = self(x)
        score = e.gather(2, tags.unsqueeze(2)).sum((1, 2)) + self.transition[tags[:, :-1], tags[:, 1:]].sum(1)
        alpha = e[:, 0]
        for t in range(1, e.shape[1]):
            alpha = torch.logsumexp(alpha.unsqueeze(2) + self.transition, 1) + e[:, t]
        return (torch.logsumexp(alpha, 1) - score).mean()


def sentences(n, g):
    tags = torch.zeros(n, 8, dtype=torch.long)
    start = torch.randint(0, 6, (n,), generator=g)
    rows = torch.arange(n)
    tags[rows, start] = 1
    tags[rows, start + 1] = 2
    return torch.randn(n, 8, 6, generator=g) + 1.5 * nn.functional.one_hot(tags, 6), tags


def main():
    g = torch.Generator().manual_seed(1)
    torch.manual_seed(1)
    model = Tagger()
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    path = os.path.join(tempfile.mkdtemp(), "last.pt")
    for step in range(80):
        loss = model.loss(*sentences(16, g))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update_parameters(model)
        if step == 39:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)
        if step == 59:
            state = torch.load(path)
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            print("restored the weights of step 39")
        if step % 20 == 0:
            print(step, round(loss.item(), 4))
    os.remove(path)
    print("final", round(loss.item(), 4))


main()
