"""A language model: pre-norm transformer with causal attention, AdamW, clipped gradients."""

import torch
from torch import nn
from torch.nn import functional as F

VOCABULARY, LENGTH, BATCH = 256, 64, 8


class LanguageModel(nn.Module):
    def __init__(self, width, heads, depth, vocabulary, length):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(length, width)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0.1, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(length), persistent=False)

    def forward(self, tokens):
        length = tokens.shape[1]
        x = self.tokens(tokens) + self.places(torch.arange(length, device=tokens.device))
        x = self.blocks(x, mask=self.mask[:length, :length], is_causal=True)
        return self.norm(x) @ self.tokens.weight.T


def build():
    torch.manual_seed(0)
    model = LanguageModel(128, 4, 3, VOCABULARY, LENGTH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    data = [torch.randint(VOCABULARY, (BATCH, LENGTH + 1)) for _ in range(8)]
    return model, optimizer, data


def train(model, optimizer, data, steps):
    for i in range(steps):
        tokens = data[i % len(data)]
        optimizer.zero_grad()
        logits = model(tokens[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
