import torch
from torch import nn


def mlp(a, b):
    return nn.Sequential(nn.Linear(a, 48), nn.LeakyReLU(0.2), nn.Linear(48, b))


class RingGAN:
    def __init__(self, seed):
        torch.manual_seed(seed)
        self.generator, self.critic = mlp(8, 2), mlp(2, 1)
        self.opt_g = torch.optim.Adam(self.generator.parameters(), lr=1e-3, betas=(0.5, 0.9))
        self.opt_c = torch.optim.Adam(self.critic.parameters(), lr=1e-3, betas=(0.5, 0.9))
        self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0 ** 12, growth_interval=15)

    @staticmethod
    def real(n):
        angle = 6.2832 * torch.rand(n)
        return torch.stack([angle.cos(), angle.sin()], 1) * 4 + 0.1 * torch.randn(n, 2)

    def half_precision(self):
        return torch.autocast("cpu", dtype=torch.float16)

    def critic_step(self, real):
        with self.half_precision():
            fake = self.generator(torch.randn(len(real), 8)).detach()
            loss = (self.critic(fake) - self.critic(real)).mean() + 0.1 * self.critic(real).pow(2).mean()
        self.opt_c.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.opt_c)
        nn.utils.clip_grad_norm_(self.critic.parameters(), 1.0)
        self.scaler.step(self.opt_c)
        return loss.item()

    def generator_step(self, n):
        with self.half_precision():
            loss = -self.critic(self.generator(torch.randn(n, 8))).mean()
        self.opt_g.zero_grad()
        self.scaler.scale(loss).backward()
        self.opt_g.step()
        return loss.item()

    def train(self, rounds):
        for r in range(rounds):
            c, g = self.critic_step(self.real(64)), self.generator_step(64)
            self.scaler.update()
            if r % 20 == 0:
                print(f"round {r} critic {c:.4f} generator {g:.4f} scale {self.scaler.get_scale():.0f}")


RingGAN(7).train(200)
