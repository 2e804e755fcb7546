"""Snippets for where values come from: bounds, chosen entries, callers, what gradients reach; marked as in cases.py."""

ORIGINS = {
    "relu and masked_fill set the gradient to 0, clamp not at its bound": """
        def loss(x, y, bad):
            a = torch.relu(x).sqrt() + torch.relu(x) ** 0.3 + x.masked_fill(bad, 0).sqrt()
            b = (x.max() - x).sqrt()  # WN201:9
            return a + b + (x - y).clamp(min=0).sqrt()  # WN201:20
    """,
    "the logarithm of a mask is meant to be added": """
        def loss(x, mask, labels):
            logits = x + torch.log(mask.float())
            return logits - torch.log(torch.bincount(labels))  # WN101:21
    """,
    "shifted by an assignment": """
        def loss(z, w):
            z -= z.max(-1, keepdim=True)[0]
            return torch.log(torch.exp(z).sum(-1)) + torch.log(torch.exp(w).sum(-1))  # WN404:46
    """,
    "exp of a logarithm": """
        def spread(x):
            return torch.log(x)
        def loss(x, z):
            a = spread(x).exp().mean(-1).log()
            return a + z.exp().mean(-1).log()  # WN404:16
    """,
    "distances of unit vectors are bounded": """
        def uniformity(x, y, t=2):
            x = F.normalize(x, dim=-1)
            a = torch.pdist(x).pow(2).mul(-t).exp().mean().log()
            b = torch.acos(0.95 * (x * y).sum(-1)) + (x - F.normalize(y)).norm(dim=-1).div(2).arcsin()
            return a + b + torch.pdist(y).pow(2).mul(t).exp().mean().log()  # WN404:20
    """,
    "what a condition chooses is bounded by it": """
        def log1pexp(x, z):
            small = x <= 18.0
            z[small] = torch.log1p(torch.exp(x[small]))
            z[~small] = torch.log1p(torch.exp(x[~small]))  # WN405:17
            positive = x > 0
            return z + torch.log1p(torch.exp(torch.where(positive, -x, x)))
    """,
    "bounds by settings": """
        def odds(x, y, eps=1e-6):
            x = torch.log(x.clamp(min=eps, max=1.0 - eps) / (1 - x.clamp(min=eps, max=1.0 - eps)))
            v = torch.clamp(y, 1e-5, math.pi - 1e-5) / math.pi
            a = torch.exp(x) / (1 + torch.exp(x)) + torch.arccos(2 * v - 1)
            return a + torch.exp(y) / (1 + torch.exp(y))  # WN406:16
    """,
    "kernels and highest values": """
        def kernel_loss(self, z, dist, sigma, log_prob, old_log_prob, max_log_prob):
            k = torch.exp(-dist / (2 * sigma ** 2))
            a = k / k.sum(-1, keepdim=True) + torch.exp(log_prob - max_log_prob)
            return a + torch.exp(log_prob - old_log_prob)  # WN402:16
    """,
    "the first weight is replaced": """
        def weights(n):
            k = torch.arange(n)
            w = 1.0 / (k * (n - k))
            w[0] = 0.0
            v = 1.0 / (k * (n - k))  # WN301:9
            return w + v
    """,
    "ends are data where they come from it": """
        def ramp(n, low, high, image, start, end):
            a = (torch.arange(n) - low) / (high - low)  # WN301:9
            p1, p2 = np.percentile(image, (1, 99))
            low, high = np.percentile(image, (1, 99))
            b = (np.clip(image, low, high) - low) / (high - low)  # WN301:9
            return a + b + image / (end - start)
    """,
    "vectors between atoms have a length": """
        class Potential(nn.Module):
            def forward(self, r_ij, batch, pos, centers, x):
                d_ij = torch.norm(r_ij, dim=-1, keepdim=True)
                a = r_ij / d_ij + (pos - centers).pow(2).sum(-1).sqrt()
                b = batch["x"] / batch["x"].norm(dim=-1)
                return a + b + x / x.norm(dim=-1)  # WN305:24
    """,
    "the length below something else": """
        def forward(x, limit):
            norm = x.norm(dim=-1)
            return limit / norm + torch.minimum(limit / norm, norm) + x / norm  # WN305:63
    """,
    "classes that there are": """
        class Prototypes(nn.Module):
            def forward(self, x, labels, k):
                classes = torch.unique(labels)
                a = [x[labels == c].mean(0) for i, c in enumerate(classes)]
                for i in range(int(labels.max()) + 1):
                    a.append(x[labels == i].mean(0))
                return a + [x[labels == k].mean(0)]  # WN510:21
    """,
    "a test of a mask is a mask": """
        class Loss(nn.Module):
            def forward(self, loss, steps, labels, ids, idx):
                mask = steps.mask > 1e-8
                same = torch.eq(idx, ids).float()
                a = (loss * mask).sum() / mask.sum() + (same / same.sum(1, keepdim=True))
                wanted = labels != -100
                return a + (loss * wanted).sum() / wanted.sum()  # WN306:20
    """,
    "a measure is looked at": """
        class Head(nn.Module):
            def get_recall(self, hits, labels):
                wanted = labels > 0
                return (hits * wanted).sum() / wanted.sum()
            def get_loss(self, hits, labels):
                wanted = labels > 0
                return (hits * wanted).sum() / wanted.sum()  # WN306:16
    """,
    "one batch of many": """
        def learn(buffer, advantages):
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
            for batch in buffer.batches():
                adv = batch.advantages
                yield (adv - adv.mean()) / (adv.std() + 1e-8)  # WN511:37
    """,
    "entries of a batch need no gradient": """
        class Model(nn.Module):
            def forward(self, feats, x):
                v = feats["frames"] - feats["centers"]
                n = v.norm(dim=-1)
                m = x.norm(dim=-1)
                a = torch.where(n > 0, feats["frames"] / n, 0)
                return a + torch.where(m > 0, x / m, 0)  # WN512:39
    """,
    "targets and recordings need no gradient": """
        class Loss(nn.Module):
            def forward(self, pred, target, clean):
                mel = self.filters(clean)
                a = (target ** 2).sum(-1).sqrt() + (mel ** 2).sum(-1).sqrt()
                return a + ((pred - target) ** 2).sum(-1).sqrt()  # WN202:20
    """,
    "spectra are features outside of a loss": """
        class Chroma(nn.Module):
            def forward(self, x):
                s = torch.stft(x, 512)
                return s.pow(2).sum(-1).sqrt()
        class ChromaLoss(nn.Module):
            def forward(self, x):
                s = torch.stft(x, 512)
                return s.pow(2).sum(-1).sqrt()  # WN202:16
    """,
    "a method of the class is no op": """
        class Loss(nn.Module):
            def forward(self, x):
                return torch.log(self.stft(x)) + torch.log(torch.stft(x, 512))  # WN101:42
    """,
    "what is reported as a number": """
        def loss(z, log):
            log(torch.log(torch.softmax(z, -1)).mean().item())
            return torch.log(torch.softmax(z, -1)).mean()  # WN102:12
    """,
    "probabilities that were raised": """
        def entropy(p_probs, q_probs, eps=1e-8):
            p_probs += eps
            return (p_probs * torch.log(p_probs)).sum() + (q_probs * torch.log(q_probs)).sum()  # WN502:52
    """,
    "a loss without gradient is a cost": """
        def match(y, t):
            with torch.no_grad():
                cost = F.binary_cross_entropy(torch.sigmoid(y), t, reduction="none")
            return cost + F.binary_cross_entropy(torch.sigmoid(y), t)  # WN503:19
    """,
    "a parameter that is repaired": """
        class Scale:
            def __init__(self, scale):
                scale[scale < 1e-6] = 1.0
                self.scale = scale
            def __call__(self, data):
                return (data - data.mean(0)) / self.scale
        def make(x):
            return Scale(x.std(0))
    """,
    "derivatives written by hand": """
        class Act(nn.Module):
            def value_and_deriv(self, x):
                return 1 / (1 + x.exp())
            def forward(self, x):
                return 1 / (1 + x.exp())  # WN406:16
    """,
    "angles of draws": """
        def directions(n, cos):
            theta = torch.acos(1 - 2 * (torch.arange(n) + 0.5) / n)
            return theta + torch.acos((cos * cos).sum(-1))  # WN411:20
    """,
    "counts of what is labelled": """
        def weights(batch, labels, x):
            a = x.sum() / torch.bincount(batch)
            return a + x.sum() / torch.bincount(labels)  # WN306:16
    """,
    "filled by another name": """
        def fill(n, a, b):
            empty = torch.empty(n)
            empty[:3] = a
            seq = empty
            seq[3:] = b
            return seq
        def part(n, a):
            part = torch.empty(n)  # WN705:12
            part[:3] = a
            return part
    """,
    "a picture": """
        def plot_points(data):
            return (data - data.min(0)) / (data.max(0) - data.min(0))
        def scale_points(data):
            return (data - data.min()) / (data.max() - data.min())  # WN303:12
    """,
    "a draw that is only compared": """
        def accept(log_w):
            log_u = torch.log(torch.rand_like(log_w))
            taken = log_w > log_u
            return taken, torch.log(torch.rand_like(log_w))  # WN104:19
    """,
    "weights that decay": """
        def weights(rate, scores, n):
            steps = torch.arange(n).float()
            w = torch.exp(-(rate - 1.0) * steps)
            e = torch.exp(-scores)
            return w / w.sum(), e / e.sum()  # WN403:25
    """,
    "coordinates have no gradient": """
        class Coordinates(nn.Module):
            def forward(self, x, y):
                row = torch.arange(7).repeat(1, 7)
                a = torch.sqrt((row.type_as(x) - 0.5) ** 2 + (row.type_as(x) - 0.5) ** 2)
                return a + torch.sqrt((x[0] - y[0]) ** 2 + (x[1] - y[1]) ** 2)  # WN202:20
    """,
}
