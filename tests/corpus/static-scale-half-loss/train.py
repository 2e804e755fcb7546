import itertools

import torch
from torch import nn

SCALE = 16384.0


def glyphs(seed, size=8):
    """Noisy copies of five prototypes; the noise grows during the curriculum."""
    g = torch.Generator().manual_seed(seed)
    prototypes = torch.randn(5, size * size, generator=g)
    for n in itertools.count():
        label = torch.randint(0, 5, (32,), generator=g)
        noise = 0.4 + 0.15 * n
        yield prototypes[label] + noise * torch.randn(32, size * size, generator=g), label


class Master:
    """Float16 weights for the passes, float32 copies for the update."""

    def __init__(self, model, lr):
        self.model = model
        self.copies = [p.detach().float().requires_grad_() for p in model.parameters()]
        self.optimizer = torch.optim.SGD(self.copies, lr=lr, momentum=0.9)

    def step(self):
        for copy, p in zip(self.copies, self.model.parameters()):
            copy.grad = p.grad.float() / SCALE
            p.grad = None
        self.optimizer.step()
        with torch.no_grad():
            for copy, p in zip(self.copies, self.model.parameters()):
                p.copy_(copy)


torch.manual_seed(1)
model = nn.Sequential(nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 5)).half()
master = Master(model, lr=0.02)
for n, (x, label) in zip(range(80), glyphs(13)):
    loss = nn.functional.cross_entropy(model(x.half()), label)
    (loss * SCALE).backward()
    master.step()
    if n % 10 == 0:
        print(n, loss.item())
