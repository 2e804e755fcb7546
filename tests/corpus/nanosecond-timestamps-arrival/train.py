"""Predict the delay of deliveries from their timestamp, weight and zone."""
import torch
from torch import nn, optim


def deliveries(seed):
    g = torch.Generator().manual_seed(seed)
    start = 1_700_000_000_000_000_000
    stamp = start + torch.cumsum(torch.randint(1, 90_000_000_000, (512,), generator=g), 0)
    weight = torch.rand(512, generator=g) * 20
    zone = torch.randint(0, 5, (512,), generator=g)
    hour = stamp // 3_600_000_000_000 % 24
    delay = 5 + 0.2 * weight + 2.0 * zone + (hour - 12).abs().float() * 0.3
    features = torch.stack([stamp.float(), weight, zone.float()], dim=1)
    return features, delay.unsqueeze(1)


model = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 1))
torch.manual_seed(8)
for layer in model:
    if isinstance(layer, nn.Linear):
        nn.init.kaiming_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)

x, y = deliveries(4)
opt = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
step = 0
while step < 40:
    at = (step * 32) % len(x)
    out = model(x[at:at + 32])
    loss = torch.mean((out - y[at:at + 32]) ** 2)
    opt.zero_grad()
    loss.backward()
    opt.step()
    step += 1
    if step % 10 == 0:
        print("step", step, "loss", loss.item())
