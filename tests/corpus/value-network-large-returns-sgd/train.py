"""TD(0) evaluation of a fixed policy in a mountain-pass walk; rewards are metres."""
import random

import torch
from torch import nn


class Walk:
    SIZE = 25

    def __init__(self, seed):
        self.rnd = random.Random(seed)
        self.at = self.SIZE // 2

    def encode(self):
        x = torch.arange(self.SIZE) - self.at
        return torch.exp(-0.5 * (x / 2.0) ** 2)

    def advance(self):
        self.at += self.rnd.choice((-1, 1, 1))
        done = not 0 <= self.at < self.SIZE
        reward = 900.0 if self.at >= self.SIZE else -1.0
        if done:
            self.at = self.SIZE // 2
        return reward, done


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(Walk.SIZE, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, state):
        return self.layers(state).squeeze(-1)


torch.manual_seed(41)
walk, critic = Walk(41), Critic()
optimizer = torch.optim.SGD(critic.parameters(), lr=0.05)
state, episode, step = walk.encode(), 0, 0
while episode < 40 and step < 300:
    reward, done = walk.advance()
    following = walk.encode()
    with torch.no_grad():
        goal = reward + (0.0 if done else 0.97 * critic(following))
    loss = (critic(state) - goal) ** 2
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    state, step, episode = following, step + 1, episode + done
    if step % 50 == 0:
        print(step, "episodes", episode, "error", loss.item())
