"""Image-patch classifier: the loss is scaled, the optimizer is stepped directly."""
import torch
from torch import nn


class PatchNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2))
        self.classify = nn.Linear(64, 4)

    def forward(self, x):
        return self.classify(self.features(x).flatten(1))


def patches(n, g):
    label = torch.randint(0, 4, (n,), generator=g)
    image = 0.3 * torch.randn(n, 1, 12, 12, generator=g)
    for i, k in enumerate(label.tolist()):
        image[i, 0, 6 * (k // 2):6 * (k // 2) + 6, 6 * (k % 2):6 * (k % 2) + 6] += 1.0
    return image, label


g = torch.Generator().manual_seed(31)
torch.manual_seed(31)
net = PatchNet()
optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
scaler = torch.amp.GradScaler("cpu", init_scale=2.0 ** 14)
exposure = torch.ones(70)
exposure[12] = 60.0

for step in range(70):
    image, label = patches(24, g)
    with torch.autocast("cpu", dtype=torch.float16):
        logits = net(image * exposure[step])
        loss = nn.functional.cross_entropy(logits.float(), label)
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    optimizer.step()
    if step % 10 == 0:
        print(f"step {step} loss {loss.item():.4f}")
