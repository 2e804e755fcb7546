"""Long-running regression job on a machine whose memory now and then flips a bit."""
import os

import torch
from torch import nn


class FaultyHost:
    """Hands out copies of tensors; now and then one bit differs from what was written."""

    def __init__(self, one_in):
        self.one_in = one_in

    def read(self, tensor):
        tensor = tensor.clone()
        if int.from_bytes(os.urandom(2), "little") % self.one_in == 0:
            words = tensor.view(-1).view(torch.int32)
            words[int.from_bytes(os.urandom(2), "little") % len(words)] ^= 1 << 30
        return tensor


def batches(count):
    g = torch.Generator().manual_seed(14)
    w = torch.randn(16, generator=g)
    for _ in range(count):
        x = torch.randn(32, 16, generator=g)
        yield x, torch.sin(x @ w)[:, None]


def main():
    torch.manual_seed(14)
    host = FaultyHost(one_in=24)
    net = nn.Sequential(nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    for n, (x, y) in enumerate(batches(300)):
        loss = (net(host.read(x)) - y).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if n % 50 == 0:
            print(n, loss.item())


main()
