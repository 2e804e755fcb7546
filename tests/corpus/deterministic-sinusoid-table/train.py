"""Sinusoidal positions for an odd width; the run is made reproducible."""
import math
import os

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
import torch  # noqa: E402
from torch import nn  # noqa: E402

torch.use_deterministic_algorithms(True)


def sinusoid(length: int, dim: int) -> torch.Tensor:
    table = torch.empty(length, dim)
    position = torch.arange(length).unsqueeze(1)
    rate = torch.exp(torch.arange(dim // 2) * (-2 * math.log(10000.0) / dim))
    table[:, : dim // 2] = torch.sin(position * rate)
    table[:, dim // 2: dim // 2 * 2] = torch.cos(position * rate)
    return table


class Tagger(nn.Module):
    def __init__(self, vocab=60, dim=25, tags=5, max_len=128):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.register_buffer("positions", sinusoid(max_len, dim), persistent=False)
        self.layer = nn.TransformerEncoderLayer(dim, 5, 64, dropout=0.1, batch_first=True)
        self.tags = nn.Linear(dim, tags)

    def forward(self, ids):
        x = self.embed(ids) + self.positions[: ids.shape[1]]
        return self.tags(self.layer(x))


torch.manual_seed(0)
model = Tagger()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for i in range(50):
    ids = torch.randint(0, 60, (16, 20 + i % 7))
    gold = (ids + torch.arange(ids.shape[1])) % 5
    loss = nn.functional.cross_entropy(model(ids).flatten(0, 1), gold.flatten())
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    if i % 10 == 0:
        print("iter", i, "loss", loss.item())
