"""Next-song model whose catalogue grows while it trains."""
import torch
from torch import nn


def playlists(songs, n, g):
    """Padded playlists and the song that follows."""
    seq = torch.randint(0, songs, (n, 12), generator=g)
    target = torch.full((n, 12), -100)
    target[:, 5:] = seq[:, 5:]
    return seq, target


class SongModel(nn.Module):
    def __init__(self, songs, dim):
        super().__init__()
        self.item = nn.Parameter(torch.randn(songs, dim) * 0.1)
        self.mix = nn.GRU(dim, dim, batch_first=True)

    def grow(self, extra):
        old = self.item.data
        origin = torch.full((len(old) + extra, old.shape[1] // 2), -1)
        origin[:len(old)] = torch.arange(len(old)).unsqueeze(1)
        print("new rows:", int((origin < 0).all(1).sum()))
        del origin
        table = torch.empty(len(old) + extra, old.shape[1])
        table[:len(old)] = old
        self.item = nn.Parameter(table)

    def forward(self, seq):
        h, _ = self.mix(self.item[seq])
        return h @ self.item.t()


def shifted_loss(model, seq, target):
    logits = model(seq)[:, :-1]
    return nn.functional.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten(), ignore_index=-100)


def month(model, songs, steps, g):
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step in range(steps):
        loss = shifted_loss(model, *playlists(songs, 64, g))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


g = torch.Generator().manual_seed(3)
torch.manual_seed(3)
model, songs = SongModel(64, 16), 64
for m in range(4):
    print("month", m, "songs", songs, "loss", month(model, songs, 20, g))
    model.grow(32)
    songs += 32
