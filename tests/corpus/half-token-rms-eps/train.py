"""Sequence tagger in float16 whose token vectors are scaled to unit RMS."""
import torch
from torch import nn
import torch.nn.functional as F

VOCAB, TAGS, PAD = 60, 5, 0


class UnitRMS(nn.Module):
    def __init__(self, dim, eps=1e-8):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x):
        return self.gain * x / (x.pow(2).mean(-1, keepdim=True) + self.eps).sqrt()


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(VOCAB, 32, padding_idx=PAD)
        self.norm = UnitRMS(32)
        self.out = nn.Linear(32, TAGS)

    def forward(self, ids):
        return self.out(self.norm(self.tokens(ids)))


def batches(count, g):
    for n in range(count):
        ids = torch.randint(1, VOCAB, (8, 10), generator=g)
        if n >= 18:
            for row, length in zip(ids, torch.randint(6, 11, (8,), generator=g)):
                row[length:] = PAD
        yield ids, ids % TAGS


torch.manual_seed(4)
tagger = Tagger().half()
optimizer = torch.optim.SGD(tagger.parameters(), lr=0.5)
for n, (ids, tags) in enumerate(batches(40, torch.Generator().manual_seed(9))):
    logits = tagger(ids).float()
    loss = F.cross_entropy(logits.transpose(1, 2), tags.masked_fill(ids == PAD, -100))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if n % 8 == 0:
        print(n, f"{loss.item():.4f}")
