"""Fit two decaying exponentials to a fluorescence curve with full-batch L-BFGS."""
import torch

time = torch.linspace(0, 12, 90)
signal = 3.0 * torch.exp(-0.35 * time) + 1.2 * torch.exp(-2.4 * time) + 0.02 * torch.sin(40 * time)


class Decay(torch.nn.Module):
    def __init__(self, terms):
        super().__init__()
        self.amplitude = torch.nn.Parameter(torch.ones(terms))
        self.rate = torch.nn.Parameter(-torch.linspace(0.02, 0.4, terms))

    def forward(self, t):
        return (self.amplitude * torch.exp(t.unsqueeze(1) * self.rate)).sum(1)


model = Decay(3)
optimizer = torch.optim.LBFGS(model.parameters(), lr=1.0, max_iter=12)


def closure():
    optimizer.zero_grad()
    loss = torch.sum((model(time) - signal) ** 2)
    loss.backward()
    return loss


for sweep in range(12):
    loss = optimizer.step(closure)
    print(sweep, float(loss), model.rate.tolist())
