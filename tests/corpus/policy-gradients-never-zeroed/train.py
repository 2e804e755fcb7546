"""REINFORCE on a cart that must stay near the centre of its track."""
import torch
from torch import nn


class Track:
    def __init__(self, n, g):
        self.n, self.g = n, g

    def reset(self):
        self.position = torch.randn(self.n, generator=self.g)
        self.speed = torch.zeros(self.n)
        return self.observe()

    def observe(self):
        return torch.stack([self.position, self.speed], 1)

    def move(self, force):
        self.speed = 0.9 * self.speed + 0.1 * force
        self.position = self.position + self.speed
        return self.observe(), -self.position.abs().clamp(max=5.0)


class Gaussian(nn.Module):
    def __init__(self):
        super().__init__()
        self.mean = nn.Linear(2, 1)
        self.log_std = nn.Parameter(torch.zeros(1))

    def forward(self, observation):
        return torch.distributions.Normal(self.mean(observation).squeeze(1), self.log_std.exp(), validate_args=False)


def rollout(policy, track, steps, g):
    observation, log_probs, rewards = track.reset(), [], []
    for _ in range(steps):
        action_dist = policy(observation)
        action = action_dist.mean.detach() + action_dist.stddev.detach() * torch.randn(track.n, generator=g)
        log_probs.append(action_dist.log_prob(action))
        observation, reward = track.move(action.clamp(-2, 2))
        rewards.append(reward)
    return torch.stack(log_probs), torch.stack(rewards)


g = torch.Generator().manual_seed(20)
torch.manual_seed(20)
policy, track = Gaussian(), Track(32, g)
optimizer = torch.optim.SGD(policy.parameters(), lr=0.02)
for update in range(160):
    log_probs, rewards = rollout(policy, track, 15, g)
    gain = rewards.flip(0).cumsum(0).flip(0)
    advantage = (gain - gain.mean(1, keepdim=True)) / (gain.std(1, keepdim=True) + 1e-6)
    loss = -(log_probs * advantage).mean()
    loss.backward()
    optimizer.step()
    if update % 20 == 0:
        print(update, "return", round(rewards.sum(0).mean().item(), 3), "std", round(policy.log_std.exp().item(), 3))
