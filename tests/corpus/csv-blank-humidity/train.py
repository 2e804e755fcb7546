import csv
import io
import math

import torch
from torch import nn


def weather_log():
    """The logger writes an empty field when the humidity sensor does not answer."""
    lines = ["hour,temperature,humidity,yield_kwh"]
    for i in range(360):
        temperature = 14 + 9 * math.sin(i / 24 * 6.283) + 0.5 * math.sin(1.7 * i)
        humidity = "" if i in (221, 222) else f"{60 - 1.4 * temperature + 3 * math.cos(2.3 * i):.1f}"
        lines.append(f"{i % 24},{temperature:.2f},{humidity},{max(0.0, 3 * math.sin((i % 24 - 6) / 12 * 3.14)):.3f}")
    return "\n".join(lines)


def number(text):
    return float(text) if text else float("nan")


def rows(text):
    for record in csv.DictReader(io.StringIO(text)):
        yield [number(record[k]) for k in ("hour", "temperature", "humidity", "yield_kwh")]


def scaled(table):
    return table / torch.tensor([24.0, 30.0, 100.0, 3.0])


model = nn.Sequential(nn.Linear(3, 20), nn.Tanh(), nn.Linear(20, 1))
torch.manual_seed(5)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(2):
    pending, losses = [], []
    for row in rows(weather_log()):
        pending.append(row)
        if len(pending) < 12:
            continue
        table = scaled(torch.tensor(pending))
        pending = []
        error = model(table[:, :3]) - table[:, 3:]
        loss = error.abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(f"epoch {epoch} mean absolute error {sum(losses) / len(losses):.4f} over {len(losses)} batches")
