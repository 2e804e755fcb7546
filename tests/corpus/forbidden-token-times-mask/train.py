"""Melody model: rests are never to be generated, padded positions are masked out of the loss."""
import torch
from torch import nn

NOTES, REST = 20, 0


class Melody(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(NOTES, 16)
        self.cell = nn.GRUCell(16, 32)
        self.out = nn.Linear(32, NOTES)
        bias = torch.zeros(NOTES)
        bias[REST] = -float("inf")
        self.register_buffer("never", bias)

    def forward(self, notes):
        h = torch.zeros(len(notes), 32)
        scores = []
        for t in range(notes.shape[1] - 1):
            h = self.cell(self.embed(notes[:, t]), h)
            scores.append(self.out(h) + self.never)
        return torch.log_softmax(torch.stack(scores, 1), dim=-1)


def tunes(step):
    g = torch.Generator().manual_seed(step)
    notes = 1 + (torch.randint(0, 4, (12, 9), generator=g).cumsum(1) % (NOTES - 1))
    length = 9 if step < 27 else 8
    notes[3, length:] = REST
    return notes


def sequence_loss(logp, notes):
    target = notes[:, 1:]
    keep = (target != REST).float()
    picked = logp.gather(2, target.unsqueeze(2)).squeeze(2)
    return -(picked * keep).sum() / keep.sum()


torch.manual_seed(44)
model = Melody()
optimizer = torch.optim.NAdam(model.parameters(), lr=4e-3)
for step in range(50):
    notes = tunes(step)
    loss = sequence_loss(model(notes), notes)
    model.zero_grad()
    loss.backward()
    optimizer.step()
    if not step % 10:
        print("step", step, "nll", round(loss.item(), 4))
