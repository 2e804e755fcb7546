"""Word-order probe trained with linear decay; the horizon of the schedule was copied from a shorter run."""
import torch
import torch.nn as nn


class Probe(nn.Module):
    def __init__(self, vocab=50, dim=24):
        super().__init__()
        self.emb = nn.Embedding(vocab, dim)
        self.bilinear = nn.Bilinear(dim, dim, 1)

    def forward(self, left, right):
        return self.bilinear(self.emb(left), self.emb(right)).squeeze(-1)


def linear_decay(total_steps, warmup=10):
    def factor(step):
        if step < warmup:
            return (step + 1) / warmup
        return (total_steps - step) / (total_steps - warmup)
    return factor


class Pairs:
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.left = torch.randint(0, 50, (n,), generator=g)
        self.right = torch.randint(0, 50, (n,), generator=g)
        self.order = (self.left - self.right).float() / 10

    def batches(self, size):
        for i in range(0, len(self.left), size):
            yield self.left[i:i + size], self.right[i:i + size], self.order[i:i + size]


torch.manual_seed(6)
probe, pairs = Probe(), Pairs(800, 1)
optimizer = torch.optim.SGD(probe.parameters(), lr=0.05)
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, linear_decay(total_steps=100))
for epoch in range(16):
    for left, right, order in pairs.batches(40):
        optimizer.zero_grad()
        loss = (probe(left, right) - order).square().mean()
        loss.backward()
        optimizer.step()
        scheduler.step()
    print(f"epoch {epoch}: loss {loss.item():.4g} lr {scheduler.get_last_lr()[0]:.4f}")
