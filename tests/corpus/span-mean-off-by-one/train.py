"""Mention classifier: a span vector is the mean of its tokens, through prefix sums."""
import random

import torch
import torch.nn as nn


class SpanTagger(nn.Module):
    def __init__(self, vocab=50, dim=24, kinds=4):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.context = nn.LSTM(dim, dim, batch_first=True)
        self.kind = nn.Linear(dim, kinds)

    def forward(self, ids, start, end):
        h, _ = self.context(self.embed(ids))
        prefix = h.cumsum(dim=1)
        rows = torch.arange(len(ids))
        total = prefix[rows, end] - prefix[rows, start]
        return self.kind(total / (end - start).unsqueeze(1))


def sentence(rnd):
    ids = [rnd.randrange(50) for _ in range(14)]
    start = rnd.randrange(0, 8)
    width = 1 if rnd.random() < 0.004 else rnd.randint(2, 5)
    end = start + width - 1
    return ids, start, end, ids[start] % 4


def batch(rnd, n=8):
    rows = [sentence(rnd) for _ in range(n)]
    return [torch.tensor(column) for column in zip(*rows)]


rnd = random.Random(12)
torch.manual_seed(12)
model = SpanTagger()
optimizer = torch.optim.Adagrad(model.parameters(), lr=0.05)
history = []
for step in range(120):
    ids, start, end, kind = batch(rnd)
    loss = nn.CrossEntropyLoss()(model(ids, start, end), kind)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    history.append(loss.item())
    if len(history) == 20:
        print(step + 1, sum(history) / 20)
        history = []
