"""Semi-supervised training: labelled batches are pulled with next() and restarted when they run out."""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(13)
g = torch.Generator().manual_seed(13)
centre = torch.randn(4, 6, generator=g) * 2
kind = torch.randint(0, 4, (400,), generator=g)
points = centre[kind] + torch.randn(400, 6, generator=g)
labelled = DataLoader(TensorDataset(points[:40], kind[:40]), batch_size=8, shuffle=True)
unlabelled = DataLoader(points[40:], batch_size=24, shuffle=True, drop_last=True)


def pull(iterators, name, loader):
    try:
        return next(iterators[name])
    except (KeyError, StopIteration):
        iterators[name] = iter(loader)
        return next(iterators[name])


student = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 4))
teacher = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 4)).requires_grad_(False)
teacher.load_state_dict(student.state_dict())
optimizer = torch.optim.SGD(student.parameters(), lr=0.1, nesterov=True, momentum=0.9)
iterators, done, kept = {}, 0, float("-inf")
while done < 120:
    optimizer.zero_grad()
    for _ in range(2):
        x, y = pull(iterators, "labelled", labelled)
        u = pull(iterators, "unlabelled", unlabelled)
        loss = nn.functional.cross_entropy(student(x), y)
        with torch.no_grad():
            belief = teacher(u).softmax(-1)
            sure = belief.max(1).values > 0.8
        share = nn.functional.cross_entropy(student(u)[sure], belief[sure].argmax(1), reduction="sum")
        ((loss + share / sure.sum().clamp(min=1)) / 2).backward()
    optimizer.step()
    with torch.no_grad():
        for t, s in zip(teacher.parameters(), student.parameters()):
            t.lerp_(s, 0.05)
    done += 1
    if done % 20 == 0:
        accuracy = (teacher(points).argmax(1) == kind).float().mean().item()
        kept = max(kept, accuracy)
        print(done, f"loss {loss.item():.4f} accuracy {accuracy:.3f}")
print("best", round(kept, 3))
