"""Snippets beyond the pages. A line that must be reported ends in `# WN101:12`: the code and the column, 1-based.

Everything not marked must not be reported, by any rule that is on by default.
"""

HEAD = "import math\nimport numpy as np\nimport torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"

CASES = {
    "spellings of one function": """
        from torch import log, softmax as soft
        def loss(z):
            a = log(soft(z, dim=1))  # WN102:9
            b = z.softmax(-1).log()  # WN102:9
            c = torch.log(F.softmax(z, 1))  # WN102:9
            d = nn.Softmax(dim=1)(z).log2()  # WN102:9
            return a + b + c + d
    """,
    "module attribute": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.soft = nn.Softmax(dim=-1)
            def forward(self, x):
                p = self.soft(x)
                picked = p[:, 0].float()
                return picked.log()  # WN102:16
    """,
    "an eps or a clamp is safe": """
        def loss(z):
            p = torch.softmax(z, -1)
            q = p.clamp(min=1e-8)
            r = p + 1e-8
            s = torch.log(torch.clamp(p, 1e-6, 1)) + torch.clip(p, 1e-6).log()
            return torch.log(p + 1e-8) + q.log() + r.log() + s
    """,
    "a clamp in place is safe": """
        def loss(z):
            p = torch.softmax(z, -1)
            p.clamp_(min=1e-8)
            return p.log()
    """,
    "a store to the zeros is safe": """
        def weights(labels):
            n = torch.bincount(labels).float()
            n[n == 0] = 1
            return 1 / n
    """,
    "an early return is safe": """
        def loss(x, mask):
            n = mask.sum()
            if n == 0:
                return x.sum() * 0
            return (x * mask).sum() / n
    """,
    "a test of the mask is safe": """
        def loss(x, mask):
            if mask.any():
                return x[mask].mean()
            return x.sum() * 0
    """,
    "a named test is safe": """
        def ratio(a, hits):
            area = (hits > 0.5).sum()
            exists = area > 0
            if exists:
                return a / area
    """,
    "max with one is safe": """
        def loss(x, mask):
            return (x * mask).sum() / torch.clamp(mask.sum(), min=1) + (x * mask).sum() / max(mask.sum(), 1)
    """,
    "an assertion is safe": """
        def loss(x, mask):
            assert mask.sum() > 0
            return (x * mask).sum() / mask.sum()
    """,
    "cleaned afterwards": """
        def scores(hit, label):
            r = hit / torch.bincount(label)
            return torch.nan_to_num(r)
    """,
    "softplus and exp are positive": """
        def loss(x, y):
            return torch.log(F.softplus(x) + torch.exp(y)) + x / (torch.exp(y) + 1)
    """,
    "squares plus eps": """
        def loss(x):
            return torch.sqrt((x ** 2).sum() + 1e-8) + 1 / ((x - 1) ** 2 + 1).sqrt()
    """,
    "no gradient, no derivative": """
        @torch.no_grad()
        def loss(x):
            return torch.sqrt((x ** 2).sum())
        def other_loss(x):
            with torch.no_grad():
                return (x ** 2).sum().sqrt()
    """,
    "norm by hand in several spellings": """
        def loss(x, y):
            a = torch.sqrt(torch.sum(x * x, dim=1))  # WN202:9
            b = (x.pow(2).sum(1)) ** 0.5  # WN202:9
            c = torch.square(x - y).mean().sqrt()  # WN202:9
            d = torch.sqrt(x ** 2 + y ** 2)  # WN202:9
            return a + b + c + d
    """,
    "causal masks keep an entry": """
        def forward(scores, n):
            causal = torch.triu(torch.ones(n, n, dtype=torch.bool), 1)
            return scores.masked_fill(causal, float("-inf")).softmax(-1)
    """,
    "padding masks may not": """
        def forward(scores, pad):
            return scores.masked_fill(pad, -math.inf).softmax(-1)  # WN509:12
    """,
    "shifted by the maximum": """
        def forward(z):
            top = z.max(dim=-1, keepdim=True)[0]
            e = torch.exp(z - top)
            f = torch.exp(z - z.amax(-1, keepdim=True).detach())
            m, _ = torch.max(z, -1)
            g = torch.exp(z - m.unsqueeze(-1))
            return e / e.sum(-1, keepdim=True) + torch.log(f.sum(-1)) + torch.log(g.sum(-1))
    """,
    "across functions of the file": """
        class Critic(nn.Module):
            def __init__(self):
                super().__init__()
                self.head = nn.Linear(4, 1)
            def forward(self, x):
                return torch.sigmoid(self.head(x))
        def loss(real, fake):
            return torch.log(real) + torch.log(1 - fake)  # WN103:12 WN103:30
        critic = Critic()
        def step(x, y):
            return loss(critic(x), critic(y))
    """,
    "logging is not a logarithm": """
        import logging
        logger = logging.getLogger()
        class Model(nn.Module):
            def forward(self, x):
                self.log("loss", torch.softmax(x, -1))
                logger.log(10, torch.relu(x))
                return math.log(10)
    """,
    "branches are not a sequence": """
        def train(model, optimizer, scaler, loader, amp):
            for x in loader:
                optimizer.zero_grad()
                loss = model(x)
                if amp:
                    scaler.scale(loss).backward()
                    scaler.step(optimizer)
                    scaler.update()
                else:
                    loss.backward()
                    optimizer.step()
    """,
    "zero_grad in a function that is called": """
        def clear(model):
            model.zero_grad(set_to_none=True)
        def train(model, optimizer, loader):
            for x in loader:
                clear(model)
                model(x).backward()
                optimizer.step()
    """,
    "the second optimizer is not unscaled": """
        def train(critic, actor, opt_c, opt_a, scaler, loader):
            for x in loader:
                opt_c.zero_grad()
                scaler.scale(critic(x)).backward()
                scaler.step(opt_c)
                opt_a.zero_grad()
                scaler.scale(actor(x)).backward()
                opt_a.step()  # WN605:9
                scaler.update()
    """,
    "constants are computed": """
        def basis(d):
            low, high = 2.0, 22.0
            d_min, d_max = 2.0, 22.0
            width = (d_max - d_min) / 16
            return torch.exp(-((d.unsqueeze(-1) - low) / width) ** 2)
    """,
    "an entry is kept in every row": """
        def batch(x):
            pad = torch.rand(8, 4) > 0.5
            pad[:, 0] = False
            return x, pad
        def forward(scores, pad):
            return scores.masked_fill(pad, -math.inf).softmax(-1)
    """,
    "an entry is kept in another mask": """
        def forward(scores, pad, seen):
            seen[:, 0] = True
            return scores.masked_fill(pad, -math.inf).softmax(-1)  # WN509:12
    """,
    "python numbers raise by themselves": """
        def mean(values, start, end):
            return sum(values) / (end - start)
    """,
    "tensors go on": """
        def mean(x, start, end):
            return x.sum(1) / (end - start).unsqueeze(1)  # WN301:12
    """,
    "the columns count characters": """
        def loss(z):
            s = "\u00e4\u00f6\u00fc"; t = torch.log(torch.softmax(z, -1))  # WN102:20
            return t
    """,
}
