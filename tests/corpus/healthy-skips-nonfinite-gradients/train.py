"""Half-precision gradients with a hand-made dynamic loss scale: a bad step is dropped, the scale halved."""
import itertools

import torch
from torch import nn


def cycle(make):
    while True:
        yield from make()


class HalfTrainer:
    def __init__(self, model, lr):
        self.model, self.scale, self.good, self.dropped = model.half(), 2.0 ** 20, 0, 0
        self.master = [p.detach().float().clone().requires_grad_() for p in model.parameters()]
        self.optimizer = torch.optim.Adam(self.master, lr=lr)

    def __call__(self, x, y):
        loss = nn.functional.mse_loss(self.model(x.half()).float(), y)
        for p in self.model.parameters():
            p.grad = None
        (loss * self.scale).backward()
        grads = [p.grad.float() / self.scale for p in self.model.parameters()]
        if not all(g.isfinite().all() for g in grads):
            self.scale, self.good, self.dropped = self.scale / 2, 0, self.dropped + 1
            return loss.item()
        for m, g in zip(self.master, grads):
            m.grad = g
        self.optimizer.step()
        with torch.no_grad():
            for p, m in zip(self.model.parameters(), self.master):
                p.copy_(m)
        self.good += 1
        if self.good % 15 == 0:
            self.scale *= 2
        return loss.item()


torch.manual_seed(4)
g = torch.Generator().manual_seed(4)
w = torch.randn(10, generator=g)


def epoch():
    for _ in range(10):
        x = torch.randn(32, 10, generator=g)
        yield x, torch.sin(x @ w)[:, None]


trainer = HalfTrainer(nn.Sequential(nn.Linear(10, 40), nn.GELU(), nn.Linear(40, 1)), lr=3e-3)
stream = cycle(epoch)
for step in itertools.count():
    if step == 110:
        break
    loss = trainer(*next(stream))
    if step % 20 == 0:
        print(step, f"loss {loss:.4f} scale {trainer.scale:.0f} dropped {trainer.dropped}")
print("dropped", trainer.dropped)
