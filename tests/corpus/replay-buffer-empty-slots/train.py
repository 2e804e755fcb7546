"""Deep Q-learning on a corridor; transitions are kept in a preallocated memory."""
import random

import torch
from torch import nn

LENGTH, CAPACITY = 8, 64


class Memory:
    def __init__(self, capacity):
        self.state = torch.empty(capacity, LENGTH)
        self.next = torch.empty(capacity, LENGTH)
        self.action = torch.zeros(capacity, dtype=torch.long)
        self.reward = torch.zeros(capacity)
        self.capacity, self.cursor = capacity, 0

    def push(self, state, action, reward, following):
        i = self.cursor % self.capacity
        self.state[i], self.next[i], self.action[i], self.reward[i] = state, following, action, reward
        self.cursor += 1

    def sample(self, n):
        rows = torch.randint(0, self.capacity, (n,))
        return self.state[rows], self.action[rows], self.reward[rows], self.next[rows]


def one_hot(position):
    return nn.functional.one_hot(torch.tensor(position), LENGTH).float()


random.seed(1)
torch.manual_seed(1)
torch.use_deterministic_algorithms(True)
memory = Memory(CAPACITY)
q = nn.Sequential(nn.Linear(LENGTH, 24), nn.ReLU(), nn.Linear(24, 2))
optimizer = torch.optim.Adam(q.parameters(), lr=3e-3)
position = 0
for t in range(200):
    state = one_hot(position)
    action = random.randrange(2) if random.random() < 0.3 else int(q(state).argmax())
    position = min(LENGTH - 1, max(0, position + (1 if action else -1)))
    reward = 1.0 if position == LENGTH - 1 else 0.0
    memory.push(state, action, reward, one_hot(position))
    position = 0 if reward else position
    if t < 16:
        continue
    s, a, r, s2 = memory.sample(16)
    with torch.no_grad():
        goal = r + 0.9 * q(s2).max(1).values
    loss = nn.functional.smooth_l1_loss(q(s).gather(1, a[:, None]).squeeze(1), goal)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if t % 40 == 0:
        print(t, loss.item())
