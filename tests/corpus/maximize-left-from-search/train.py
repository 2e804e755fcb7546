import torch
from torch import nn

settings = dict(lr=0.05, momentum=0.9, nesterov=True, maximize=True)


def decay_curves(seed, n=300):
    """Counts of a decaying source with its half life as the target."""
    g = torch.Generator().manual_seed(seed)
    half_life = 0.5 + 2.5 * torch.rand(n, 1, generator=g)
    t = torch.linspace(0, 3, 15)
    return 0.5 ** (t / half_life) + 0.01 * torch.randn(n, 15, generator=g), half_life


class Estimator(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(15, 30), nn.LeakyReLU(), nn.Linear(30, 1))


def epoch_of(x, y, size):
    for i in torch.randperm(len(x)).split(size):
        yield x[i], y[i]


if __name__ == "__main__":
    torch.manual_seed(15)
    net = Estimator()
    x, y = decay_curves(15)
    optimizer = torch.optim.SGD(net.parameters(), **settings)
    for epoch in range(3):
        for curve, half_life in epoch_of(x, y, 15):
            def closure():
                optimizer.zero_grad()
                loss = ((net(curve) - half_life) ** 2).mean()
                loss.backward()
                return loss
            loss = optimizer.step(closure)
        print(epoch, float(loss))
