"""SIREN-like image fit with a sinc activation written as an autograd Function."""
import torch
from torch import nn
from torch.autograd import Function


class Sinc(Function):
    @staticmethod
    def forward(ctx, x):
        safe = torch.where(x == 0, torch.ones_like(x), x)
        y = torch.where(x == 0, torch.ones_like(x), torch.sin(safe) / safe)
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx, grad):
        x, y = ctx.saved_tensors
        return grad * (torch.cos(x) - y) / x


class SincLayer(nn.Module):
    def __init__(self, i, o, omega=6.0, bias=True):
        super().__init__()
        self.linear, self.omega = nn.Linear(i, o, bias=bias), omega
        nn.init.uniform_(self.linear.weight, -1 / i, 1 / i)

    def forward(self, x):
        return Sinc.apply(self.omega * self.linear(x))


def picture(size):
    axis = torch.arange(-size // 2, size // 2) / (size / 2)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y], -1).view(-1, 2), (torch.sin(5 * x) * torch.cos(4 * y)).view(-1, 1)


torch.manual_seed(0)
coords, values = picture(32)
net = nn.Sequential(SincLayer(2, 48, bias=False), SincLayer(48, 48), nn.Linear(48, 1))
optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
order = torch.randperm(len(coords), generator=torch.Generator().manual_seed(4))
for epoch in range(4):
    for chunk in order.split(64):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(coords[chunk]), values[chunk])
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch} mse {loss.item():.5f}")
