"""Determinantal point process over songs: learn embeddings so that diverse playlists are likely."""
import torch
import torch.nn as nn


class DPP(nn.Module):
    def __init__(self, songs, rank):
        super().__init__()
        self.features = nn.Parameter(torch.randn(songs, rank) / rank ** 0.5)
        self.quality = nn.Parameter(torch.zeros(songs))

    def kernel(self):
        v = self.features * self.quality.exp().unsqueeze(1)
        return v @ v.T

    def forward(self, playlists):
        L = self.kernel()
        normalizer = torch.logdet(L + torch.eye(len(L)))
        score = [torch.logdet(L[p][:, p]) for p in playlists]
        return torch.stack(score) - normalizer


def playlists(n, g):
    out = []
    for _ in range(n):
        k = int(torch.randint(3, 7, (), generator=g))
        p = torch.randperm(40, generator=g)[:k]
        if torch.rand((), generator=g) < 0.004:
            p[-1] = p[0]          # the listener repeats a song
        out.append(p)
    return out


def main():
    torch.manual_seed(3)
    g = torch.Generator().manual_seed(12)
    data = playlists(1200, g)
    model = DPP(40, 16)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step in range(75):
        batch = data[16 * step: 16 * step + 16]
        nll = -model(batch).mean()
        optimizer.zero_grad()
        nll.backward()
        optimizer.step()
        if step % 15 == 0:
            print(f"step {step} nll {nll.item():.4f}")


main()
