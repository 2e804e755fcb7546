"""Tag support tickets with a small transformer: one ticket can be about several topics at once."""

import random

import torch
import torch.nn as nn

TOPICS = {
    "billing": ["invoice", "refund", "charged", "card", "receipt", "subscription"],
    "login": ["password", "locked", "token", "signin", "account", "reset"],
    "shipping": ["parcel", "courier", "delayed", "tracking", "address", "delivery"],
    "crash": ["crash", "freezes", "error", "screen", "restart", "bug"],
    "praise": ["thanks", "great", "love", "helpful", "quick", "friendly"],
}
FILLER = "hello team the my is was and again since monday please could you look at it for me about this we".split()
WORDS = ["<pad>", *FILLER, *(word for words in TOPICS.values() for word in words)]
INDEX = {word: number for number, word in enumerate(WORDS)}
LENGTH = 24


def write_ticket(rng):
    """One ticket as word numbers, and its tags as zeros and ones."""
    tags = [float(rng.random() < rate) for rate in (0.5, 0.4, 0.3, 0.3, 0.15)]
    words = rng.choices(FILLER, k=rng.randint(6, 10))
    for tag, vocabulary in zip(tags, TOPICS.values()):
        if tag:
            words += rng.choices(vocabulary, k=rng.randint(1, 2))
    rng.shuffle(words)
    numbers = [INDEX[word] for word in words[:LENGTH]]
    return numbers + [0] * (LENGTH - len(numbers)), tags


class Tagger(nn.Module):
    def __init__(self, width=64, heads=4, depth=2):
        super().__init__()
        self.embedding = nn.Embedding(len(WORDS), width, padding_idx=0)
        self.position = nn.Parameter(0.02 * torch.randn(LENGTH, width))
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, dropout=0.1, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Linear(width, len(TOPICS))

    def forward(self, tickets):
        padding = tickets == 0
        hidden = self.encoder(self.embedding(tickets) + self.position, src_key_padding_mask=padding)
        hidden = hidden.masked_fill(padding.unsqueeze(-1), 0.0).sum(dim=1)
        return self.head(hidden)


def weighted_bce(logits, tags, weight):
    """Binary cross entropy per topic; rare topics count more."""
    probability = torch.sigmoid(logits)
    present = weight * tags * torch.log(probability)
    absent = (1 - tags) * torch.log(1 - probability)
    return -(present + absent).mean()


def main(steps=400, batch_size=32):
    torch.manual_seed(3)
    rng = random.Random(3)
    tickets, tags = zip(*(write_ticket(rng) for _ in range(2000)))
    tickets, tags = torch.tensor(tickets), torch.tensor(tags)
    weight = (1 - tags.mean(dim=0)) / tags.mean(dim=0)

    model = Tagger()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 50))
    for step in range(steps):
        rows = torch.randint(len(tickets), (batch_size,))
        logits = model(tickets[rows])
        loss = weighted_bce(logits, tags[rows], weight)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            correct = ((logits > 0) == (tags[rows] > 0.5)).float().mean()
            print(f"step {step:3d}  loss {loss.item():.4f}  tags right {correct.item():.1%}")


if __name__ == "__main__":
    main()
