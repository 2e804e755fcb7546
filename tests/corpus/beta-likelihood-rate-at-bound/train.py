"""Click rates per campaign as a beta regression; some campaigns reach every reader."""
import torch
from torch import nn
from torch.distributions import Beta


def campaigns(block, g):
    x = torch.randn(20, 5, generator=g)
    shown = 200
    rate = torch.sigmoid(x.sum(1) * 0.8)
    clicks = torch.binomial(torch.full((20,), float(shown)), rate, generator=g)
    return x, clicks / shown


class BetaRegression(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 20), nn.Tanh(), nn.Linear(20, 2), nn.Softplus())

    def forward(self, x):
        a, b = (self.net(x) + 0.1).unbind(1)
        return Beta(a, b, validate_args=False)


g = torch.Generator().manual_seed(70)
torch.manual_seed(70)
model = BetaRegression()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
for block in range(150):
    x, rate = campaigns(block, g)
    nll = -model(x).log_prob(rate).mean()
    optimizer.zero_grad()
    nll.backward()
    optimizer.step()
    if block % 15 == 0:
        print(block, round(nll.item(), 4))
