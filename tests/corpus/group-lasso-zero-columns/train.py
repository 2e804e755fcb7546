"""Sparse multi-task regression with a group penalty on the rows of the weight matrix."""
import numpy as np
import torch

rng = np.random.default_rng(7)
features = rng.normal(size=(300, 14)).astype("float32")
features[:, 9] = 0.0
active = np.zeros((14, 3), dtype="float32")
active[:4] = rng.normal(size=(4, 3))
answers = features @ active + 0.1 * rng.normal(size=(300, 3)).astype("float32")


class SparseLinear(torch.nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = torch.nn.Parameter(0.1 * torch.randn(inputs, outputs))

    def forward(self, x):
        return x @ self.weight

    def group_penalty(self):
        return (self.weight ** 2).sum(dim=1).sqrt().sum()

    @torch.no_grad()
    def prune(self, threshold):
        small = self.weight.abs().amax(dim=1) < threshold
        self.weight[small] = 0.0
        return int(small.sum())


torch.manual_seed(7)
model = SparseLinear(14, 3)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
data = torch.utils.data.TensorDataset(torch.from_numpy(features), torch.from_numpy(answers))
loader = torch.utils.data.DataLoader(data, batch_size=30, shuffle=True)
for epoch in range(14):
    for x, y in loader:
        optimizer.zero_grad()
        fit = torch.nn.functional.mse_loss(model(x), y)
        (fit + 0.05 * model.group_penalty()).backward()
        optimizer.step()
    zero = model.prune(0.005) if epoch >= 8 else 0
    print(f"epoch {epoch} fit {fit.item():.4f} rows set to zero {zero}")
