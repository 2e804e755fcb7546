"""A convolutional net with batch normalisation, SGD with momentum."""

import torch
from torch import nn
from torch.nn import functional as F


def block(width_in, width_out, stride):
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(width_out), nn.ReLU()
    )


def build():
    torch.manual_seed(0)
    model = nn.Sequential(
        block(3, 16, 1), block(16, 32, 2), block(32, 64, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    data = [(torch.randn(16, 3, 32, 32), torch.randint(10, (16,))) for _ in range(8)]
    return model, optimizer, data


def train(model, optimizer, data, steps):
    for i in range(steps):
        x, y = data[i % len(data)]
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
