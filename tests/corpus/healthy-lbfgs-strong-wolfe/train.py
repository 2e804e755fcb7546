"""Style-transfer-like optimisation of an input: L-BFGS on the pixels of one small image."""
import torch
from torch import nn


class Statistics(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(12)
        self.convs = nn.ModuleList([nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 8, 3, stride=2, padding=1)])
        self.requires_grad_(False)

    def forward(self, image):
        grams = []
        for conv in self.convs:
            image = torch.relu(conv(image))
            flat = image.flatten(2)
            grams.append(flat @ flat.transpose(1, 2) / flat.shape[-1])
        return grams


net = Statistics()
x = torch.linspace(0, 6.28, 24)
target = net(torch.sin(3 * x)[None, None, :, None] * torch.cos(2 * x)[None, None, None, :])
image = (0.1 * torch.randn(1, 1, 24, 24)).requires_grad_()
optimizer = torch.optim.LBFGS([image], lr=0.8, max_iter=10, line_search_fn="strong_wolfe")
best = [float("inf")]
calls = 0


def closure():
    global calls
    calls += 1
    optimizer.zero_grad()
    loss = sum((a - b).pow(2).sum() for a, b in zip(net(image), target))
    loss = loss + 1e-4 * ((image[..., 1:] - image[..., :-1]) ** 2).mean()
    loss.backward()
    best[0] = min(best[0], float(loss))
    return loss


for outer in range(8):
    loss = optimizer.step(closure)
    print(outer, f"{float(loss):.6f}", calls)
print("best", f"{best[0]:.6f}")
