"""Visits per outlet: Poisson regression on floor space, staff and opening hours."""
import torch
from torch import nn


def outlets(n, g):
    space = 80 + 240 * torch.rand(n, generator=g)
    staff = torch.randint(2, 12, (n,), generator=g).float()
    hours = 6 + 8 * torch.rand(n, generator=g)
    visits = torch.poisson(torch.exp(0.004 * space + 0.08 * staff + 0.05 * hours), generator=g)
    return torch.stack([space, staff, hours], dim=1), visits


class CountModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.rate = nn.Linear(3, 1)
        nn.init.zeros_(self.rate.weight)
        nn.init.zeros_(self.rate.bias)

    def forward(self, x):
        return self.rate(x).squeeze(1)


def negative_log_likelihood(log_rate, count):
    return (torch.exp(log_rate) - count * log_rate).mean()


torch.manual_seed(3)
x, visits = outlets(500, torch.Generator().manual_seed(3))
model = CountModel()
optimizer = torch.optim.SGD(model.parameters(), lr=3e-4)
losses = []
for epoch in range(5):
    for rows in torch.randperm(500).split(50):
        loss = negative_log_likelihood(model(x[rows]), visits[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print("epoch", epoch, losses[-1])
