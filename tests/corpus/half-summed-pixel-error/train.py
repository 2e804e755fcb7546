import torch
from torch import nn

SIDE = 16


def textures(n, contrast, g):
    """Gratings with a random direction, in grey levels."""
    axis = torch.linspace(-1, 1, SIDE)
    angle = 3.1416 * torch.rand(n, 1, 1, generator=g)
    wave = torch.cos(9 * (axis[None, :, None] * angle.cos() + axis[None, None, :] * angle.sin()))
    return (contrast * wave).unsqueeze(1)


class Compressor(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(1, 6, 4, stride=4)
        self.up = nn.ConvTranspose2d(6, 1, 4, stride=4)

    def forward(self, x):
        return self.up(torch.tanh(self.down(x)))


def distortion(x, y):
    gap = x - y
    return (gap * gap).sum()


class Session:
    def __init__(self):
        torch.manual_seed(51)
        self.g = torch.Generator().manual_seed(51)
        self.net = Compressor().to(torch.float16)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=1e-5)

    def step(self, contrast):
        image = textures(4, contrast, self.g).to(torch.float16)
        self.optimizer.zero_grad()
        loss = distortion(self.net(image), image)
        (loss / image.numel()).backward()
        self.optimizer.step()
        return loss


session = Session()
for k in range(60):
    loss = session.step(contrast=4.0 + 0.25 * k)
    if k % 10 == 0:
        print(k, loss.item())
