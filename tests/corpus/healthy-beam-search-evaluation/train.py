"""Evaluate a frozen language model: perplexity and beam search with forbidden tokens."""
import math

import torch
from torch import nn


class LanguageModel(nn.Module):
    def __init__(self, vocab=30, width=32):
        super().__init__()
        self.embed = nn.Embedding(vocab, width)
        self.block = nn.TransformerEncoderLayer(width, 4, 64, dropout=0.0, batch_first=True)
        self.head = nn.Linear(width, vocab)

    def forward(self, ids):
        mask = torch.full((ids.shape[1], ids.shape[1]), float("-inf")).triu(1)
        return self.head(self.block(self.embed(ids), src_mask=mask)).log_softmax(-1)


def beam_search(model, start, beams, length, forbidden):
    best = torch.full((beams,), -torch.inf)
    best[0] = 0.0
    rows = start.repeat(beams, 1)
    for _ in range(length):
        step = model(rows)[:, -1].clone()
        step[:, forbidden] = -torch.inf
        total = best.unsqueeze(1) + step
        best, flat = total.flatten().topk(beams)
        rows = torch.cat([rows[flat // step.shape[1]], (flat % step.shape[1]).unsqueeze(1)], 1)
    return rows[0], best[0]


@torch.inference_mode()
def main():
    torch.manual_seed(2)
    model = LanguageModel().eval()
    lowest = math.inf
    for part in torch.randint(0, 30, (12, 8, 15)).unbind(0):
        logp = model(part)
        nll = -logp[:, :-1].gather(2, part[:, 1:, None]).mean()
        lowest = min(lowest, nll.exp().item())
    print("lowest perplexity", round(lowest, 3))
    for prompt in range(4):
        ids, score = beam_search(model, torch.tensor([[prompt]]), 5, 10, [0, 1, 2])
        print(ids.tolist(), round(score.item(), 4))


main()
