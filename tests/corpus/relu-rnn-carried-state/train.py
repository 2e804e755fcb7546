"""Character model with a ReLU recurrence; the state is carried from chunk to chunk."""
import torch
from torch import nn

TEXT = ("the quick onyx goblin jumps over the lazy dwarf while a wizard brews "
        "quince jam and forges vexing black sphinx amulets by the quiet pond. ") * 40
CHARS = sorted(set(TEXT))
ids = torch.tensor([CHARS.index(c) for c in TEXT])


class CharRNN(nn.Module):
    def __init__(self, vocab, hidden=64):
        super().__init__()
        self.embed = nn.Embedding(vocab, 24)
        self.rnn = nn.RNN(24, hidden, nonlinearity="relu", batch_first=True)
        self.decode = nn.Linear(hidden, vocab)
        nn.init.eye_(self.rnn.weight_hh_l0)

    def forward(self, x, state):
        h, state = self.rnn(self.embed(x), state)
        return self.decode(h), state


class Trainer:
    def __init__(self, chunk=48, streams=4):
        torch.manual_seed(6)
        self.model = CharRNN(len(CHARS))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.03)
        rows = len(ids) // streams
        self.data = ids[: rows * streams].view(streams, rows)
        self.chunk = chunk

    def chunks(self):
        for at in range(0, self.data.shape[1] - self.chunk - 1, self.chunk):
            yield self.data[:, at:at + self.chunk], self.data[:, at + 1:at + self.chunk + 1]

    def epoch(self):
        state = None
        for x, y in self.chunks():
            logits, state = self.model(x, state)
            state = state.detach()
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return loss.item()


trainer = Trainer()
for epoch in range(3):
    print("epoch", epoch, "loss", round(trainer.epoch(), 4))
