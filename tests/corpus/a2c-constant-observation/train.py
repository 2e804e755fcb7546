"""Advantage actor-critic on a toy thermostat with running observation statistics (numpy environment)."""
import numpy as np
import torch
import torch.nn as nn
from torch.distributions import Categorical


class Thermostat:
    """obs: indoor, outdoor, price, window open."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.t = 0
        self.indoor, self.window = 18.0, 0.0

    def reset(self):
        self.t, self.indoor = 0, self.rng.normal(18, 1)
        return self.observe()

    def observe(self):
        outdoor = 5 + 5 * np.sin(self.t / 20)
        return np.array([self.indoor, outdoor, 0.3 + 0.1 * np.cos(self.t / 10), self.window], dtype=np.float32)

    def step(self, action):
        self.t += 1
        self.indoor += 0.5 * action - 0.02 * (self.indoor - 5) + self.rng.normal(0, 0.05)
        return self.observe(), -abs(self.indoor - 21) / 10, self.t % 200 == 0


class RunningStat:
    def __init__(self, size):
        self.n, self.mean, self.m2 = 0, np.zeros(size), np.zeros(size)

    def update(self, x):
        self.n += 1
        delta = x - self.mean
        self.mean += delta / self.n
        self.m2 += delta * (x - self.mean)

    def normalize(self, x):
        if self.n < 50:
            return x.astype(np.float32) / 20
        return ((x - self.mean) / np.sqrt(self.m2 / self.n)).astype(np.float32)


class ActorCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 32), nn.Tanh())
        self.pi, self.v = nn.Linear(32, 3), nn.Linear(32, 1)

    def forward(self, x):
        h = self.body(x)
        return self.pi(h), self.v(h).squeeze(-1)


def main(updates=60, horizon=8, gamma=0.95):
    torch.manual_seed(0)
    env, stat, net = Thermostat(3), RunningStat(4), ActorCritic()
    optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-3)
    obs = env.reset()
    for update in range(updates):
        logps, values, rewards, entropies = [], [], [], []
        for _ in range(horizon):
            stat.update(obs)
            logits, value = net(torch.from_numpy(stat.normalize(obs)))
            policy = Categorical(logits=logits)
            action = policy.sample()
            obs, reward, done = env.step(int(action))
            logps.append(policy.log_prob(action)); values.append(value); rewards.append(reward); entropies.append(policy.entropy())
            if done:
                obs = env.reset()
        returns, R = [], values[-1].item()
        for r in reversed(rewards):
            R = r + gamma * R
            returns.insert(0, R)
        advantage = torch.tensor(returns) - torch.stack(values)
        loss = -(torch.stack(logps) * advantage.detach()).mean() + 0.5 * advantage.square().mean() - 0.01 * torch.stack(entropies).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if update % 10 == 0:
            print(update, f"{loss.item():.3f}")


main()
