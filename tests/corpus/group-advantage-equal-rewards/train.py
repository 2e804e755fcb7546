"""Group-relative policy optimisation of a toy sequence sampler: rewards are normalised per prompt."""
import torch
from torch import nn

PROMPTS, GROUP, LENGTH, VOCAB = 4, 6, 12, 4


class Sampler(nn.Module):
    def __init__(self):
        super().__init__()
        self.prompt = nn.Embedding(30, 24)
        self.token = nn.Embedding(VOCAB + 1, 24)
        self.cell = nn.GRUCell(24, 24)
        self.out = nn.Linear(24, VOCAB)

    def forward(self, prompt, tokens):
        h = self.prompt(prompt)
        logits = []
        last = torch.full_like(prompt, VOCAB)
        for t in range(LENGTH):
            h = self.cell(self.token(last), h)
            logits.append(self.out(h))
            last = tokens[:, t]
        return torch.stack(logits, 1).log_softmax(-1)

    @torch.no_grad()
    def generate(self, prompt, g):
        tokens = torch.zeros(len(prompt), LENGTH, dtype=torch.long)
        for t in range(LENGTH):
            p = self(prompt, tokens)[:, t].exp()
            tokens[:, t] = torch.multinomial(p, 1, generator=g).squeeze(1)
        return tokens


def reward(prompt, tokens):
    return (tokens == (prompt % VOCAB).unsqueeze(1)).sum(1).float()


g = torch.Generator().manual_seed(4)
torch.manual_seed(4)
policy = Sampler()
optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-2)
for update in range(120):
    prompt = torch.randint(0, 30, (PROMPTS,), generator=g).repeat_interleave(GROUP)
    tokens = policy.generate(prompt, g)
    score = reward(prompt, tokens).view(PROMPTS, GROUP)
    advantage = (score - score.mean(1, keepdim=True)) / score.std(1, keepdim=True)
    logp = policy(prompt, tokens).gather(2, tokens.unsqueeze(2)).squeeze(2).sum(1)
    loss = -(advantage.flatten() * logp).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if update % 10 == 0:
        print(update, "reward", score.mean().item())
