"""Two-tower retrieval in float16 with unnormalised dot products."""
import torch
from torch import nn
import torch.nn.functional as F


class Tower(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.inner = nn.Linear(inputs, 64)
        self.outer = nn.Linear(64, 128)

    def forward(self, x):
        return self.outer(F.relu(self.inner(x)))


class TwoTowers(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.document = Tower(12), Tower(12)

    def forward(self, q, d):
        return self.query(q) @ self.document(d).t()


def pairs(step, g):
    length = 1.0 + 90.0 * step
    topic = torch.randn(16, 12, generator=g)
    return topic + 0.1 * torch.randn(16, 12, generator=g), topic * length


def main():
    torch.manual_seed(6)
    g = torch.Generator().manual_seed(6)
    model = TwoTowers().half()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, eps=1e-4)
    for step in range(80):
        q, d = pairs(step, g)
        scores = model(q.half(), d.half())
        loss = F.binary_cross_entropy_with_logits(scores.float(), torch.eye(16))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 30 == 0:
            print(step, f"{loss.item():.4f}", f"largest score {scores.abs().max().item():.0f}")


main()
