"""House prices from area, age and distance with second-degree features."""
import numpy as np
import torch

rng = np.random.default_rng(3)
N = 400
area = rng.uniform(40, 320, N)
age = rng.integers(0, 90, N)
distance = rng.gamma(2.0, 1500.0, N)
price = 2100.0 * area - 900.0 * age - 11.0 * distance + rng.normal(0, 9e3, N)


def design(*columns):
    base = np.stack(columns, axis=1)
    pairs = [base[:, i] * base[:, j] for i in range(3) for j in range(i, 3)]
    return np.concatenate([np.ones((len(base), 1)), base, np.stack(pairs, axis=1)], axis=1)


X = torch.tensor(design(area, age, distance), dtype=torch.float32)
y = torch.tensor(price / 1000.0, dtype=torch.float32)
weight = torch.zeros(X.shape[1], requires_grad=True)
optimizer = torch.optim.SGD([weight], lr=1e-3)

order = rng.permutation(N)
for epoch in range(6):
    total = 0.0
    for chunk in np.array_split(order, 10):
        rows = torch.from_numpy(chunk)
        residual = X[rows] @ weight - y[rows]
        loss = (residual * residual).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    print(f"epoch {epoch}: {total / 10:.5g}")
