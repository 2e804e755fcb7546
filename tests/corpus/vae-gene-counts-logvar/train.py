"""VAE for single-cell gene counts."""
import torch
from torch import nn, optim
from torch.nn import functional as F
import argparse


class VAE(nn.Module):
    def __init__(self, genes, hidden=64, latent=8):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(genes, hidden), nn.ReLU())
        self.mu = nn.Linear(hidden, latent)
        self.logvar = nn.Linear(hidden, latent)
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, genes))

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        return mu + std * torch.randn_like(std)

    def forward(self, x):
        h = self.encoder(x)
        mu, logvar = self.mu(h), self.logvar(h)
        return self.decoder(self.reparameterize(mu, logvar)), mu, logvar


def elbo(recon, x, mu, logvar):
    rec = F.poisson_nll_loss(recon.clamp(max=12), x, log_input=True, reduction="none").sum(1)
    kld = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1)
    return (rec + kld).mean()


def cells(n, genes, seed):
    g = torch.Generator().manual_seed(seed)
    program = torch.rand(4, genes, generator=g) ** 6 * 60
    usage = torch.distributions.Dirichlet(torch.ones(4) * 0.5).sample((n,)) if False else torch.rand(n, 4, generator=g)
    depth = torch.exp(torch.randn(n, 1, generator=g) * 0.5)
    depth[::97] *= 40        # doublets and ambient droplets
    return torch.poisson(usage @ program * depth, generator=g)


def main(args):
    torch.manual_seed(args.seed)
    x = cells(1000, 100, args.seed)
    model = VAE(100)
    optimizer = optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        for batch in x.split(args.batch_size):
            recon, mu, logvar = model(batch)
            loss = elbo(recon, batch, mu, logvar)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch} elbo {-loss.item():.2f}")


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--epochs", type=int, default=3)
    p.add_argument("--batch-size", type=int, default=50)
    p.add_argument("--seed", type=int, default=0)
    main(p.parse_args())
