"""Bandit with many arms: policy gradient and an entropy bonus, everything in float16."""
import torch
from torch import nn

ARMS, CONTEXT = 24, 12


def environment(g):
    preference = torch.randn(CONTEXT, ARMS, generator=g)

    def pull(context, arm):
        return (context @ preference)[torch.arange(len(arm)), arm].tanh()

    return pull


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(CONTEXT, 48), nn.Tanh(), nn.Linear(48, ARMS))

    def forward(self, context):
        return torch.softmax(self.body(context), dim=-1)


def entropy(p):
    return -(p * torch.log(p + 1e-8)).sum(-1)


def main():
    g = torch.Generator().manual_seed(5)
    torch.manual_seed(5)
    pull = environment(g)
    policy = Policy().half()
    optimizer = torch.optim.SGD(policy.parameters(), lr=1.5, momentum=0.9)
    baseline = 0.0
    for episode in range(300):
        context = torch.randn(16, CONTEXT, generator=g)
        probs = policy(context.half())
        arm = torch.multinomial(probs.detach().float(), 1, generator=g).squeeze(1)
        reward = pull(context, arm)
        chosen = probs.gather(1, arm[:, None]).squeeze(1)
        advantage = (reward - baseline).half()
        loss = -(torch.log(chosen + 1e-8) * advantage).mean() - 0.001 * entropy(probs).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        baseline = 0.9 * baseline + 0.1 * reward.mean().item()
        if episode % 25 == 0:
            print(episode, round(baseline, 4), round(loss.item(), 4))


main()
