import torch


def relu_stack(widths, generator):
    """One weight matrix and bias per layer."""
    return [(torch.randn(a, b, generator=generator), torch.zeros(b)) for a, b in zip(widths, widths[1:])]


def apply(layers, x):
    for i, (w, b) in enumerate(layers):
        x = x @ w + b
        if i + 1 < len(layers):
            x = x.relu()
    return x


def spirals(n, generator):
    label = torch.arange(n) % 2
    t = 3 * torch.rand(n, generator=generator).sqrt()
    angle = 4 * t + 3.1416 * label
    xy = torch.stack([t * angle.cos(), t * angle.sin()], 1)
    return xy + 0.05 * torch.randn(n, 2, generator=generator), label


def main():
    g = torch.Generator().manual_seed(40)
    layers = relu_stack([2] + [128] * 44 + [2], g)
    params = [p.requires_grad_() for pair in layers for p in pair]
    optimizer = torch.optim.AdamW(params, lr=3e-4)
    for step in range(12):
        x, label = spirals(64, g)
        loss = torch.nn.functional.cross_entropy(apply(layers, x), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(step, float(loss))


main()
