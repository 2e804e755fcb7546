"""Hidden Markov model of shopping sessions, learned by gradient descent on the forward algorithm."""
import torch
from torch import nn


class HMM(nn.Module):
    def __init__(self, states=4, symbols=12):
        super().__init__()
        self.start = nn.Parameter(torch.randn(states) * 0.1)
        self.transition = nn.Parameter(torch.randn(states, states) * 0.1)
        self.emission = nn.Parameter(torch.randn(states, symbols) * 0.1)

    def likelihood(self, session):
        A = self.transition.softmax(-1)
        B = self.emission.softmax(-1)
        alpha = self.start.softmax(-1) * B[:, session[0]]
        for symbol in session[1:]:
            alpha = (alpha @ A) * B[:, symbol]
        return alpha.sum()

    def forward(self, sessions):
        return torch.stack([torch.log(self.likelihood(s)) / len(s) for s in sessions])


def simulate(generator, length):
    state, out = 0, []
    for _ in range(length):
        if torch.rand((), generator=generator) < 0.2:
            state = int(torch.randint(0, 4, (), generator=generator))
        out.append((3 * state + int(torch.randint(0, 3, (), generator=generator))) % 12)
    return torch.tensor(out)


def main():
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(9)
    lengths = [6, 9, 11, 8, 14, 7, 10, 12, 5, 16, 9, 8, 58, 7, 11, 13]
    sessions = [simulate(g, n) for n in lengths]
    model = HMM()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for epoch in range(10):
        for i in range(0, len(sessions), 4):
            optimizer.zero_grad()
            nll = -model(sessions[i:i + 4]).mean()
            nll.backward()
            optimizer.step()
        print(f"epoch {epoch}: {nll.item():.4f}")


if __name__ == "__main__":
    main()
