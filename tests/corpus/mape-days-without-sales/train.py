"""Demand forecast judged by the mean absolute percentage error."""
import csv
import io

import torch
from torch import nn

SALES = io.StringIO("\n".join(
    ["day,units"] + [f"{d},{(17 + 5 * (d % 7) + d % 11) if d % 365 != 359 else 0}" for d in range(600)]))


def load(handle):
    units = torch.tensor([float(r["units"]) for r in csv.DictReader(handle)])
    past = units.unfold(0, 21, 1)[:-1]
    return past / 50, units[21:] / 50


def mape(forecast, actual):
    return ((forecast - actual).abs() / actual).mean()


class Forecast(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(1, 20, batch_first=True)
        self.out = nn.Linear(20, 1)

    def forward(self, past):
        _, h = self.gru(past.unsqueeze(2))
        return nn.functional.softplus(self.out(h[-1])).squeeze(1)


torch.manual_seed(90)
past, future = load(SALES)
model = Forecast()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for epoch in range(3):
    for at in range(0, len(past), 30):
        loss = mape(model(past[at:at + 30]), future[at:at + 30])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    print(f"epoch {epoch} mape {loss.item():.4f}")
