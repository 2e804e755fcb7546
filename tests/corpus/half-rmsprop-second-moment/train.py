import torch
from torch import nn

torch.manual_seed(23)


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.Linear(30, 12)
        self.dec = nn.Linear(12, 30)

    def forward(self, x):
        return self.dec(torch.tanh(self.enc(x)))


def spectra(n):
    centre = torch.rand(n, 1)
    grid = torch.linspace(0, 1, 30)
    return torch.exp(-((grid - centre) / 0.15) ** 2)


def train(model, data, epochs):
    opt = torch.optim.RMSprop(model.parameters(), lr=2e-4)
    for epoch in range(epochs):
        for part in data.split(32):
            reconstruction = model(part)
            loss = nn.functional.smooth_l1_loss(reconstruction, part)
            opt.zero_grad()
            loss.backward()
            opt.step()
        print(f"epoch {epoch} loss {loss.item():.5f}")


net = Autoencoder().half()
train(net, spectra(256).half(), epochs=6)
