"""Estimate the attitude of a drone from its rotor speeds; the loss compares Euler angles."""
import torch
from torch import nn


def quaternion_to_euler(q):
    w, x, y, z = q.unbind(-1)
    roll = torch.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    pitch = torch.asin((2 * (w * y - z * x)).clamp(-0.999, 0.999))
    yaw = torch.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    return torch.stack([roll, pitch, yaw], -1)


def heading(track):
    """Bearing of each leg of a flown track (north, east)."""
    leg = track[:, 1:] - track[:, :-1]
    return torch.atan2(leg[..., 1], leg[..., 0])


class Odometry(nn.Module):
    def __init__(self, rotors=4, hidden=32):
        super().__init__()
        self.rnn = nn.LSTM(rotors, hidden, batch_first=True)
        self.attitude = nn.Linear(hidden, 4)
        self.velocity = nn.Sequential(nn.Linear(hidden, 16), nn.ReLU(), nn.Linear(16, 2), nn.Hardtanh(-3, 3))

    def forward(self, rotor, hover):
        h, _ = self.rnn(rotor)
        q = nn.functional.normalize(self.attitude(h[:, -1]) + torch.tensor([2.0, 0, 0, 0]), dim=-1)
        track = (self.velocity(h) * ~hover[..., None]).cumsum(1)
        return quaternion_to_euler(q), track


def flights(g, n=16, t=10):
    rotor = torch.randn(n, t, 4, generator=g)
    hover = torch.zeros(n, t, dtype=torch.bool)
    hover[:, 0] = torch.rand(n, generator=g) < 0.5
    if torch.rand((), generator=g) < 0.06:
        hover[int(torch.randint(n, (), generator=g)), 4:7] = True
    euler = 0.3 * torch.tanh(rotor.mean(1)[:, :3])
    bearing = torch.tanh(rotor[:, 1:, 0])
    return rotor, hover, euler, bearing


torch.manual_seed(0)
g = torch.Generator().manual_seed(5)
net = Odometry()
optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-3)
for i in range(100):
    rotor, hover, euler, bearing = flights(g)
    angles, track = net(rotor, hover)
    turn = 1 - torch.cos(heading(track) - bearing)
    loss = nn.functional.mse_loss(angles, euler) + 0.1 * (turn * ~hover[:, 1:]).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if i % 20 == 0:
        print(i, f"{loss.item():.4f}")
