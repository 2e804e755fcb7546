"""Tabular training from two loader workers; missing cells are NaN until the model fills them."""
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Readings(Dataset):
    def __init__(self, n=320):
        g = torch.Generator().manual_seed(10)
        self.x = torch.randn(n, 8, generator=g)
        self.y = (self.x[:, 0] - self.x[:, 3] > 0).long()
        self.x[torch.rand(n, 8, generator=g) < 0.1] = float("nan")

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


class Filled(nn.Module):
    def __init__(self):
        super().__init__()
        self.fill = nn.Parameter(torch.zeros(8))
        self.net = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Dropout(0.1), nn.Linear(24, 2))

    def forward(self, x):
        return self.net(torch.where(x.isnan(), self.fill, x))


def accuracy(model, loader):
    model.eval()
    with torch.no_grad():
        return sum((model(x).argmax(1) == y).sum().item() for x, y in loader) / len(loader.dataset)


def main():
    torch.manual_seed(10)
    data = Readings()
    loader = DataLoader(data, batch_size=32, shuffle=True, num_workers=2, generator=torch.Generator().manual_seed(1))
    plain = DataLoader(data, batch_size=64)
    model = Filled()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    best, patience = -float("inf"), 0
    for epoch in range(4):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        score = accuracy(model, plain)
        patience = 0 if score > best else patience + 1
        best = max(best, score)
        print(epoch, f"loss {loss.item():.4f} accuracy {score:.3f}")
        if patience == 2:
            break


if __name__ == "__main__":
    main()
