"""Two-stage fine-tuning: the head alone first, then the embeddings with their own optimizer."""
import torch
from torch import nn


class Ranker(nn.Module):
    def __init__(self, users, items, dim=10):
        super().__init__()
        self.users = nn.Embedding(users, dim)
        self.items = nn.Embedding(items, dim)
        self.head = nn.Sequential(nn.Linear(2 * dim, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, u, i):
        return self.head(torch.cat([self.users(u), self.items(i)], 1)).squeeze(1)


class Run:
    def __init__(self):
        torch.manual_seed(10)
        self.model = Ranker(90, 120)
        self.g = torch.Generator().manual_seed(10)
        self.bce = nn.BCEWithLogitsLoss()

    def sample(self, n=64):
        u = torch.randint(0, 90, (n,), generator=self.g)
        i = torch.randint(0, 120, (n,), generator=self.g)
        return u, i, ((u * 7 + i * 3) % 5 < 2).float()

    def stage(self, parameters, steps, **settings):
        parameters = list(parameters)
        optimizer = torch.optim.Adam(parameters, **settings)
        for _ in range(steps):
            u, i, clicked = self.sample()
            loss = self.bce(self.model(u, i), clicked)
            self.model.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return loss.item()


run = Run()
print("head", run.stage(run.model.head.parameters(), 40, lr=1e-2))
print("all", run.stage(run.model.parameters(), 40, lr=1e-3, eps=0.0))
