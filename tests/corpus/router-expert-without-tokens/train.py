"""Mixture of experts: top-1 routing, the output of an expert is centred over its own tokens."""
import torch
from torch import nn


class Expert(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        return self.down(nn.functional.gelu(self.up(x)))


class Mixture(nn.Module):
    def __init__(self, width, experts):
        super().__init__()
        self.gate = nn.Linear(width, experts)
        self.experts = nn.ModuleList(Expert(width) for _ in range(experts))

    def forward(self, x):
        p = torch.softmax(self.gate(x), -1)
        top, index = p.max(-1)
        out = torch.zeros_like(x)
        spread = []
        for e, expert in enumerate(self.experts):
            chosen = (index == e).nonzero().squeeze(1)
            y = expert(x[chosen])
            spread.append(y.var(dim=0, unbiased=False).mean())
            out = out.index_add(0, chosen, y * top[chosen].unsqueeze(1))
        return x + out, torch.stack(spread).mean()


def main():
    torch.manual_seed(62)
    g = torch.Generator().manual_seed(62)
    embed, moe, head = nn.Embedding(32, 16), Mixture(16, 5), nn.Linear(16, 32)
    parts = nn.ModuleList([embed, moe, head])
    optimizer = torch.optim.AdamW(parts.parameters(), lr=1e-2)
    for step in range(200):
        ids = torch.randint(0, 32, (40,), generator=g)
        h, spread = moe(embed(ids))
        loss = nn.functional.cross_entropy(head(h), (ids * 5 + 1) % 32) + 0.1 * (spread - 1) ** 2
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            print(step, round(loss.item(), 4))


main()
