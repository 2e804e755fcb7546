import torch

torch.set_default_dtype(torch.float32)
torch.manual_seed(31)

ASSETS, CONSTRAINTS = 12, 5
mu = torch.rand(ASSETS) * 0.1
root = torch.randn(ASSETS, ASSETS) * 0.1
sigma = root @ root.T + 0.01 * torch.eye(ASSETS)
A = torch.rand(CONSTRAINTS, ASSETS)
limit = torch.full((CONSTRAINTS,), 1.5)


class Allocation(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.full((ASSETS,), 0.2))

    def objective(self, t):
        slack = limit - A @ self.weights
        barrier = -torch.log(slack).sum() - torch.log(self.weights).sum()
        utility = mu @ self.weights - 0.5 * self.weights @ sigma @ self.weights
        return barrier / t - utility


model = Allocation()
for t in (1.0, 5.0, 25.0):
    solver = torch.optim.LBFGS(model.parameters(), lr=1.5, max_iter=12, history_size=6)
    for outer in range(4):
        def closure():
            solver.zero_grad()
            value = model.objective(t)
            value.backward()
            return value

        value = solver.step(closure)
        print(f"t={t:g} outer={outer} value={value.item():.5f}")
