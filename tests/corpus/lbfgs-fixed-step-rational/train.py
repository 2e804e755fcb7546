"""Fit a rational function to a resonance curve with full-batch L-BFGS."""
import torch

frequency = torch.linspace(0.2, 3.0, 80)
response = 1.0 / ((1.44 - frequency ** 2) ** 2 + 0.09 * frequency ** 2).sqrt()
response = response + 0.02 * torch.sin(37 * frequency)


class Rational(torch.nn.Module):
    def __init__(self, degree):
        super().__init__()
        torch.manual_seed(2)
        self.top = torch.nn.Parameter(torch.randn(degree + 1))
        self.bottom = torch.nn.Parameter(torch.randn(degree))

    def forward(self, x):
        powers = torch.stack([x ** k for k in range(len(self.top))], 1)
        return powers @ self.top / (1 + powers[:, 1:] @ self.bottom)


model = Rational(4)
optimizer = torch.optim.LBFGS(model.parameters(), lr=1.0, max_iter=8)


def closure():
    optimizer.zero_grad()
    loss = torch.mean((model(frequency) - response) ** 2)
    loss.backward()
    return loss


for sweep in range(40):
    loss = optimizer.step(closure)
    print(sweep, float(loss))
