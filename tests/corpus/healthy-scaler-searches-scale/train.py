"""Mixed-precision training with a loss scale that starts far too high and grows again quickly."""
import torch
from torch import nn


class SmallNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))

    def forward(self, x):
        return self.layers(x)


def rings(n, g):
    label = torch.randint(0, 3, (n,), generator=g)
    direction = torch.nn.functional.normalize(torch.randn(n, 20, generator=g), dim=1)
    return direction * (1.0 + label.float().unsqueeze(1)), label


g = torch.Generator().manual_seed(0)
torch.manual_seed(0)
net = SmallNet()
optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
scaler = torch.amp.GradScaler("cpu", init_scale=2.0 ** 24, growth_interval=12)
skipped = 0
for step in range(120):
    x, label = rings(48, g)
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cpu", dtype=torch.float16):
        loss = nn.functional.cross_entropy(net(x), label)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    norm = nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    scaler.step(optimizer)
    before = scaler.get_scale()
    scaler.update()
    skipped += scaler.get_scale() < before
    if step % 20 == 0:
        print(f"step {step} loss {loss.item():.4f} norm {float(norm):.3g} scale {scaler.get_scale():.0f} skipped {skipped}")
print("skipped", skipped, "of 120")
