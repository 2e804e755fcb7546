import numpy as np
import torch
from torch import nn

rng = np.random.default_rng(55)
USERS, FILMS, RATINGS = 60, 80, 3000
taste, style = rng.normal(size=(USERS, 4)), rng.normal(size=(FILMS, 4))
who, what = rng.integers(0, USERS, RATINGS), rng.integers(0, FILMS, RATINGS)
stars = np.clip(3 + (taste[who] * style[what]).sum(1), 1, 5)
table = torch.utils.data.TensorDataset(torch.from_numpy(who), torch.from_numpy(what), torch.from_numpy(stars).float())


class Factors(nn.Module):
    def __init__(self, rank=16):
        super().__init__()
        self.user, self.film = nn.Embedding(USERS, rank), nn.Embedding(FILMS, rank)

    def forward(self, u, f):
        return (self.user(u) * self.film(f)).sum(1)


class Fit:
    def __init__(self, epochs, peak):
        torch.manual_seed(55)
        self.model = Factors()
        self.loader = torch.utils.data.DataLoader(table, batch_size=100, shuffle=True)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, max_lr=peak, total_steps=epochs * len(self.loader), cycle_momentum=False)
        self.epochs = epochs

    def loss(self, batch):
        u, f, stars = batch
        return (self.model(u, f) - stars).square().sum() / 10

    def run(self):
        for epoch in range(self.epochs):
            seen = []
            for batch in self.loader:
                self.optimizer.zero_grad()
                loss = self.loss(batch)
                loss.backward()
                self.optimizer.step()
                self.schedule.step()
                seen.append(loss.item())
            print(epoch, sum(seen) / len(seen), self.schedule.get_last_lr()[0])


Fit(epochs=5, peak=2.0).run()
