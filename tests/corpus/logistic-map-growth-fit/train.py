"""Recover the growth rate of a population from its final census by differentiating the simulation."""
import torch

YEARS = 420


class Population(torch.nn.Module):
    def __init__(self, rate):
        super().__init__()
        self.rate = torch.nn.Parameter(torch.tensor(rate))

    def forward(self, density, years):
        census = []
        for _ in range(years):
            density = self.rate * density * (1 - density)
            census.append(density)
        return torch.stack(census)


truth = Population(3.985)
start = torch.tensor([0.21, 0.37, 0.52, 0.64])
with torch.no_grad():
    observed = truth(start, YEARS)

model = Population(3.97)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
horizon = 40
for it in range(60):
    simulated = model(start, horizon)
    loss = (simulated - observed[:horizon]).square().mean()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    with torch.no_grad():
        model.rate.clamp_(3.9, 3.999)
    if it % 5 == 4:
        horizon = min(horizon + 40, YEARS)
        print(f"{it + 1:3d} years {horizon} loss {loss.item():.4f} rate {model.rate.item():.4f}")
