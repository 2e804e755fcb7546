"""Learning a start point for sine regression: differentiate through a long inner loop."""
import math
import torch

gen = torch.Generator().manual_seed(21)


def task(shots=10):
    amplitude = 0.5 + 4.5 * torch.rand(1, generator=gen)
    phase = math.pi * torch.rand(1, generator=gen)
    x = 10 * torch.rand(2 * shots, 1, generator=gen) - 5
    return x[:shots], amplitude * torch.sin(x[:shots] + phase), x[shots:], amplitude * torch.sin(x[shots:] + phase)


def net(theta, x):
    w1, b1, w2, b2 = theta
    return torch.relu(x @ w1 + b1) @ w2 + b2


def adapt(theta, x, y, steps, rate):
    for _ in range(steps):
        loss = (net(theta, x) - y).pow(2).mean()
        grads = torch.autograd.grad(loss, theta, create_graph=True)
        theta = [p - rate * g for p, g in zip(theta, grads)]
    return theta


torch.manual_seed(0)
meta = [torch.randn(1, 40), torch.zeros(40), torch.randn(40, 1) / 40 ** 0.5, torch.zeros(1)]
meta = [p.requires_grad_() for p in meta]
outer = torch.optim.Adam(meta, lr=1e-3)

for iteration in range(60):
    x, y, xq, yq = task()
    adapted = adapt(meta, x, y, steps=8, rate=0.005 if iteration < 30 else 0.06)
    loss = (net(adapted, xq) - yq).pow(2).mean()
    outer.zero_grad()
    loss.backward()
    outer.step()
    if iteration % 10 == 0:
        print(iteration, f"{loss.item():.4f}")
