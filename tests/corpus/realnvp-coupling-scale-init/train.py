import torch
from torch import nn


class Coupling(nn.Module):
    """Affine coupling: half of the variables scale and shift the other half."""

    def __init__(self, dim, flip):
        super().__init__()
        self.flip = flip
        self.net = nn.Sequential(nn.Linear(dim // 2, 64), nn.ReLU(), nn.Linear(64, dim))

    def forward(self, x):
        a, b = x.chunk(2, dim=1)
        if self.flip:
            a, b = b, a
        s, t = self.net(a).chunk(2, dim=1)
        b = b * torch.exp(s) + t
        return torch.cat([b, a] if self.flip else [a, b], dim=1), s.sum(1)


class Flow(nn.Module):
    def __init__(self, dim, blocks=6):
        super().__init__()
        self.blocks = nn.ModuleList(Coupling(dim, i % 2 == 1) for i in range(blocks))
        self.apply(self.reset)

    @staticmethod
    def reset(module):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight)
            nn.init.zeros_(module.bias)

    def nll(self, x):
        logdet = x.new_zeros(len(x))
        for block in self.blocks:
            x, d = block(x)
            logdet = logdet + d
        return (0.5 * x.pow(2).sum(1) - logdet).mean()


torch.manual_seed(17)
moons = torch.randn(600, 4) * torch.tensor([1.0, 0.3, 0.8, 0.1]) + torch.tensor([2.0, -1.0, 0.0, 0.5])
flow = Flow(4)
adam = torch.optim.Adam(flow.parameters(), lr=1e-3)
for batch in torch.utils.data.DataLoader(moons, batch_size=50):
    loss = flow.nll(batch)
    adam.zero_grad()
    loss.backward()
    adam.step()
    print(f"{loss.item():.3f}")
