"""Training data is staged by a reader thread into two reused buffers."""
import threading
import time

import torch
from torch import nn

ROWS, COLS, STEPS = 64, 10, 400


class Stage:
    """A reader thread fills the buffer that is not in use."""

    def __init__(self, source):
        self.source = source
        self.buffers = [torch.zeros(ROWS, COLS + 1) for _ in range(2)]
        self.current = self.loaded = 0
        self.load(0)

    def load(self, slot):
        buffer = self.buffers[slot]
        block = self.source[self.loaded % len(self.source)]
        self.loaded += 1
        buffer.fill_(float("nan"))
        for i, row in enumerate(block):
            buffer[i] = row

    def swap(self):
        self.current = 1 - self.current
        other = 1 - self.current
        self.thread = threading.Thread(target=self.load, args=(other,))
        self.thread.start()
        return self.buffers[self.current].clone()

    def close(self):
        self.thread.join()


def measurements():
    g = torch.Generator().manual_seed(9)
    w = torch.randn(COLS, generator=g)
    blocks = []
    for _ in range(50):
        x = torch.randn(ROWS, COLS, generator=g)
        blocks.append(torch.cat([x, (x @ w).tanh()[:, None]], dim=1))
    return blocks


torch.manual_seed(9)
stage = Stage(measurements())
stage.load(1)
model = nn.Sequential(nn.Linear(COLS, 32), nn.GELU(), nn.Linear(32, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
for step in range(STEPS):
    batch = stage.swap()
    loss = nn.functional.mse_loss(model(batch[:, :COLS]), batch[:, COLS:])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 80 == 0:
        print(step, loss.item())
        time.sleep(0.01)
stage.close()
