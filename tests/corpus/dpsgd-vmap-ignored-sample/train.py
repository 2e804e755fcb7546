"""Differentially private next-word model: per-sample gradients by torch.func, normalised, then noised."""
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

VOCAB, CONTEXT, PAD = 40, 6, -100


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(VOCAB, 16)
        self.mix = nn.Linear(CONTEXT * 16, 32)
        self.head = nn.Linear(32, VOCAB)

    def forward(self, ids):
        return self.head(torch.tanh(self.mix(self.table(ids).flatten(-2))))


def sample_loss(params, model, ids, target):
    logits = functional_call(model, params, (ids.unsqueeze(0),))
    keep = (target != PAD).float()
    nll = nn.functional.cross_entropy(logits, target.clamp(min=0).unsqueeze(0))
    return keep * nll


def private_gradients(model, ids, target, bound, sigma):
    params = {k: v.detach() for k, v in model.named_parameters()}
    per_sample = vmap(grad(sample_loss), in_dims=(None, None, 0, 0))(params, model, ids, target)
    norms = torch.stack([g.flatten(1).norm(dim=1) for g in per_sample.values()]).norm(dim=0)
    factor = bound / norms
    for name, p in model.named_parameters():
        g = per_sample[name]
        g = torch.einsum("b...,b->...", g, factor)
        p.grad = (g + sigma * bound * torch.randn_like(g)) / len(ids)


def corpus(n):
    g = torch.Generator().manual_seed(77)
    ids = torch.randint(0, VOCAB, (n, CONTEXT), generator=g)
    target = (ids[:, -1] * 7 + ids[:, -2]) % VOCAB
    target[torch.randperm(n, generator=g)[:3]] = PAD
    return ids, target


torch.manual_seed(0)
model = Model()
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
ids, target = corpus(2000)
for step in range(60):
    pick = torch.randperm(len(ids))[:32]
    private_gradients(model, ids[pick], target[pick], bound=1.0, sigma=0.02)
    optimizer.step()
    if step % 10 == 0:
        with torch.no_grad():
            print(step, nn.functional.cross_entropy(model(ids), target).item())
