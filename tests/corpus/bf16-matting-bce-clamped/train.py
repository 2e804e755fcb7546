"""Alpha matting with a hand-written binary cross-entropy on bfloat16 predictions."""
import torch
from torch import nn

EPS = 1e-6


def matting_loss(alpha, trimap, known):
    alpha = alpha.clamp(EPS, 1 - EPS)
    bce = -(trimap * torch.log(alpha) + (1 - trimap) * torch.log(1 - alpha))
    return (bce * known).sum() / known.sum()


class Matte(nn.Module):
    def __init__(self, c=12):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, c, 3, padding=1), nn.ReLU(), nn.Conv2d(c, c, 3, padding=1), nn.ReLU())
        self.alpha = nn.Conv2d(c, 1, 1)

    def forward(self, x):
        return torch.sigmoid(self.alpha(self.body(x)))


def scene(rng, n=4, s=20):
    img = torch.rand(n, 3, s, s, generator=rng) * 0.3
    a = torch.zeros(n, 1, s, s)
    for k in range(n):
        y, x = torch.randint(2, s - 9, (2,), generator=rng).tolist()
        a[k, :, y:y + 8, x:x + 8] = 1
    img = img + a * 0.7
    return img * 4, a


torch.manual_seed(2)
rng = torch.Generator().manual_seed(4)
model = Matte().to(torch.bfloat16)
optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
for iteration in range(150):
    image, alpha = scene(rng)
    known = torch.ones_like(alpha)
    prediction = model(image.bfloat16())
    loss = matting_loss(prediction, alpha.bfloat16(), known.bfloat16())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if iteration % 15 == 0:
        print(f"{iteration}: {loss.item():.4f}")
