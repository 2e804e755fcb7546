"""Gaussian-process regression: marginal likelihood over length scale, amplitude and noise."""
import math
import torch

torch.manual_seed(19)


class ExactGP(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.log_length = torch.nn.Parameter(torch.tensor(-0.5))
        self.log_amplitude = torch.nn.Parameter(torch.tensor(0.0))
        self.log_noise = torch.nn.Parameter(torch.tensor(-3.0))

    def covariance(self, x):
        gap = (x[:, None] - x[None, :]) / self.log_length.exp()
        signal = self.log_amplitude.exp() * torch.exp(-0.5 * gap.pow(2))
        return signal + self.log_noise.exp() * torch.eye(len(x))

    def forward(self, x, y):
        factor = torch.linalg.cholesky_ex(self.covariance(x)).L
        alpha = torch.cholesky_solve(y[:, None], factor).squeeze(1)
        return 0.5 * y @ alpha + factor.diagonal().log().sum() + 0.5 * len(x) * math.log(2 * math.pi)


x = torch.linspace(0, 2, 60).repeat_interleave(2)
y = torch.sin(3 * x)
gp = ExactGP()
optimizer = torch.optim.Adam(gp.parameters(), lr=0.1)
for i in range(250):
    optimizer.zero_grad()
    nll = gp(x, y)
    nll.backward()
    optimizer.step()
    if i % 20 == 0:
        print(i, f"nll {nll.item():.3f} noise {gp.log_noise.exp().item():.2e}")
