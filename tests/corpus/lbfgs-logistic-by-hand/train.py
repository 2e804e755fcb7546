"""Credit default as logistic regression with full-batch L-BFGS, the likelihood written out."""
import numpy as np
import torch

rng = np.random.default_rng(18)
income = rng.gamma(4.0, 11.0, 300)
debt = rng.gamma(2.0, 9.0, 300)
age = rng.uniform(20, 75, 300)
default = (debt - 0.35 * income + rng.normal(0, 6, 300) > 4).astype("float32")
table = torch.tensor(np.stack([income, debt, age], 1), dtype=torch.float32)
sign = torch.from_numpy(2 * default - 1)


class Logistic:
    def __init__(self, size):
        self.weight = torch.zeros(size, requires_grad=True)
        self.offset = torch.zeros(1, requires_grad=True)

    def parameters(self):
        return [self.weight, self.offset]

    def nll(self, x, s):
        margin = s * (x @ self.weight + self.offset)
        return torch.log(1 + torch.exp(-margin)).mean()


model = Logistic(3)
optimizer = torch.optim.LBFGS(model.parameters(), lr=1.0, max_iter=4, history_size=5)


def evaluate():
    optimizer.zero_grad()
    nll = model.nll(table, sign)
    nll.backward()
    return nll


for sweep in range(25):
    nll = optimizer.step(evaluate)
    if sweep % 5 == 0:
        print(f"sweep {sweep} nll {float(nll):.5f}")
