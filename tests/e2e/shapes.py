"""The same bug in every shape of training loop: iteration BAD of the data holds a zero whose logarithm is taken.

A script marks the line of the birth with `# birth`, so the expectation sits where it belongs.
"""

HEAD = """
import itertools, math, sys
import torch
from torch import nn
torch.manual_seed(0)
BAD = 7

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.2)
        self.line = nn.Linear(3, 1)
    def forward(self, x):
        return self.line(self.drop(torch.log(x))).squeeze(-1)  # birth

def batch(i):
    x = torch.rand(8, 3) + 0.5
    if i == BAD:
        x[5, 2] = 0.0
    return x, torch.rand(8)

def batches(n=20):
    for i in range(n):
        yield batch(i)

net = Net()
opt = torch.optim.Adam(net.parameters(), lr=1e-2)
def train(x, y):
    opt.zero_grad()
    loss = (net(x) - y).square().mean()
    loss.backward()
    opt.step()
    return loss
"""

SHAPES = {
    "for over a generator": "for x, y in batches():\n    train(x, y)\n",
    "enumerate, zip and islice": "for i, (x, y) in zip(range(99), itertools.islice(batches(), 15)):\n    train(x, y)\n",
    "range and a function that draws the batch": "for i in range(20):\n    train(*batch(i))\n",
    "nested epochs over a DataLoader": """
from torch.utils.data import DataLoader, TensorDataset
x = torch.rand(40, 3) + 0.5
x[29, 1] = 0
loader = DataLoader(TensorDataset(x, torch.rand(40)), batch_size=4)
for epoch in range(2):
    for bx, by in loader:
        train(bx, by)
else:
    print("never")
""",
    "while True with break": "i = 0\nwhile True:\n    train(*batch(i))\n    i += 1\n    if i == 20:\n        break\n",
    "while with a condition and a walrus": "i = -1\nwhile (i := i + 1) < 20:\n    train(*batch(i))\n",
    "method with a counter on self": """
class Trainer:
    def __init__(self):
        self.step, self.losses = 0, []
    def fit(self):
        for x, y in batches():
            self.one(x, y)
    def one(self, x, y):
        assert self.step == len(self.losses)
        self.losses.append(train(x, y).item())
        self.step += 1
Trainer().fit()
""",
    "generator that trains": """
def run():
    for x, y in batches():
        yield train(x, y)
losses = [l.item() for l in run()]
""",
    "next with a restart of the iterator": """
it = iter([])
seen = 0
while seen < 20:
    try:
        x, y = next(it)
    except StopIteration:
        it = batches(10)
        x, y = next(it)
    train(x, y)
    seen += 1
""",
    "prefetch at the end of the body": """
feed = batches()
x, y = next(feed)
while x is not None:
    train(x, y)
    x, y = next(feed, (None, None))
""",
    "gradient accumulation": """
for i, (x, y) in enumerate(batches(), 1):
    (net(x) - y).square().mean().backward()
    if i % 4 == 0:
        opt.step()
        opt.zero_grad()
""",
    "hidden state carried in a local": """
state = torch.zeros(3)
for x, y in batches():
    state = (0.9 * state + x.mean(0)).detach()
    train(x * (1 + 0 * state), y)
""",
    "two optimizers": """
critic = nn.Linear(3, 1)
opt_c = torch.optim.SGD(critic.parameters(), lr=1e-3)
for x, y in batches():
    opt_c.zero_grad()
    critic(x).mean().backward()
    opt_c.step()
    train(x, y)
""",
    "closure": """
lbfgs = torch.optim.LBFGS(net.parameters(), lr=0.1, max_iter=3)
for x, y in batches():
    def closure():
        lbfgs.zero_grad()
        loss = (net(x) - y).square().mean()
        loss.backward()
        return loss
    lbfgs.step(closure)
""",
    "the program exits by itself": """
for x, y in batches():
    loss = (net(x) - y).square().mean()
    if not math.isfinite(loss.item()):
        print("loss is", loss.item(), file=sys.stderr)
        sys.exit(1)
    opt.zero_grad(); loss.backward(); opt.step()
""",
    "the program breaks out by itself": """
def fit():
    for x, y in batches():
        loss = (net(x) - y).square().mean()
        if torch.isnan(loss) or torch.isinf(loss):
            return "diverged"
        opt.zero_grad(); loss.backward(); opt.step()
fit()
""",
    "the program raises by itself": """
for x, y in batches():
    loss = (net(x) - y).square().mean()
    if not torch.isfinite(loss):
        raise RuntimeError("loss is not finite")
    opt.zero_grad(); loss.backward(); opt.step()
""",
    "a bare except in the body": """
for x, y in batches():
    try:
        train(x, y)
    except:
        print("never mind")
""",
    "the body takes its batch apart": """
for item in ({"x": x, "y": y} for x, y in batches()):
    y = item.pop("y")
    item["x"] = [item["x"].sqrt_()]
    train(item["x"][0], y)
""",
    "a number that leaves the tensors and comes back": """
for x, y in batches():
    out = net(x)
    again = torch.stack([torch.tensor([v]) for v in out.detach()]).sum()
    opt.zero_grad()
    ((out - y).square().mean() + again).backward()
    opt.step()
""",
    "micro-batches": """
feed = batches(24)
for step in range(10):
    for micro in range(2):
        x, y = next(feed)
        ((net(x) - y).square().mean() / 2).backward()
    opt.step()
    opt.zero_grad()
""",
    "weights updated by hand, several epochs": """
for epoch in range(3):
    for i in range(4):
        x, y = batch(4 * epoch + i)
        net.zero_grad()
        (net(x) - y).square().mean().backward()
        for p in net.parameters():
            p.data.add_(p.grad, alpha=-0.01)
""",
    "no loop at all": "train(*batch(0)); train(*batch(1)); train(*batch(BAD)); train(*batch(2))\n",
    "weights updated by hand": """
for x, y in batches():
    loss = (net(x) - y).square().mean()
    for p in net.parameters():
        p.grad = None
    loss.backward()
    with torch.no_grad():
        for p in net.parameters():
            p -= 0.01 * p.grad
""",
}
