"""Snippets for what keeps the rules silent, each with the like of it that must be reported; marked as in cases.py."""

SILENCES = {
    "masks of steps, tokens and chance keep an entry": """
        class Pool(nn.Module):
            def forward(self, x, attention_mask, lengths, mask, batch):
                a = (x * attention_mask).sum(1) / attention_mask.sum(1)
                steps = torch.arange(x.shape[1])[None] < lengths[:, None]
                b = (x * steps).sum(1) / steps.sum(1)
                drop = torch.rand(x.shape[0]) > 0.5
                c = (x * drop).sum(1) / drop.sum()
                d = (x * mask).sum() / mask.sum()
                e = x[batch["mask"]].mean() + x[drop].mean() + x[attention_mask].mean()
                scores = x.masked_fill(~steps, -math.inf).softmax(-1)
                return a + b + c + d + e + scores
    """,
    "conditions on data may be empty": """
        class Pool(nn.Module):
            def forward(self, x, labels, loss_mask):
                chosen = labels != -100
                a = (x * chosen).sum() / chosen.sum()  # WN306:13
                b = (x * loss_mask).sum() / loss_mask.sum()  # WN306:13
                c = x[labels > 0].mean()  # WN510:13
                return a + b + c
        def masked_mean(x, mask):
            return (x * mask).sum() / mask.sum()  # WN306:12
    """,
    "a mask that a caller makes from lengths": """
        def batch_mean(loss, mask):
            return loss.sum(1) / mask.sum(1)
        def compute(loss, length):
            mask = torch.ones(3, 4)
            mask *= length_to_mask(length)
            return batch_mean(loss, mask)
    """,
    "nansum means NaN": """
        def mean(x):
            valid = x.isfinite()
            return x.nansum(-1) / valid.sum(-1)
    """,
    "two entries of one tensor differ": """
        def forward(pos, i, j):
            a = (pos[i] - pos[j]).pow(2).sum(-1).sqrt()
            b = (pos[:, None] - pos[None, :]).pow(2).sum(-1).sqrt()  # WN202:9
            return a + b
    """,
    "one vector may vanish, all of them do not": """
        def forward(x):
            area = x.norm(dim=1)
            return area / area.sum()
    """,
    "callers under no_grad": """
        class Layer(nn.Module):
            def project(self, x, top):
                norm = x.norm()
                return torch.where(norm <= 0, x, x / norm)
            def forward(self, x):
                with torch.no_grad():
                    x = self.project(x, 1)
                return x
    """,
    "callers with gradient": """
        class Layer(nn.Module):
            def project(self, x, top):
                norm = x.norm()
                return torch.where(norm <= 0, x, x / norm)  # WN512:42
            def forward(self, x):
                return self.project(x, 1)
    """,
    "shifted in place": """
        def loss(logits, target):
            top = logits.max(-1)[0]
            logits.sub_(top.unsqueeze(-1))
            e = logits.exp()
            total = e.sum(-1)
            return torch.log(total) - target, e / total.unsqueeze(-1)
    """,
    "not shifted": """
        def loss(logits, target):
            e = logits.exp()
            total = e.sum(-1)
            return torch.log(total) - target, e / total.unsqueeze(-1)  # WN404:12 WN403:39
    """,
    "a ratio of one is one": """
        def forward(log_probs, old_log_probs, advantages):
            a = torch.exp(log_probs - log_probs.detach()) * advantages
            b = torch.exp(log_probs - old_log_probs)  # WN402:9
            return a + b
    """,
    "somebody chose the other way": """
        def forward(log_probs, old_log_probs, stable):
            if not stable:
                return torch.exp(log_probs - old_log_probs)
            return torch.softmax(log_probs - old_log_probs, -1)
    """,
    "what is not finite is looked for": """
        class Loss(nn.Module):
            def __init__(self):
                super().__init__()
                self.ctc = nn.CTCLoss()
            def forward(self, *given):
                loss = self.ctc(*given)
                return loss if torch.isfinite(loss) else loss * 0
    """,
    "exp of a layer in inference": """
        class Durations(nn.Module):
            def __init__(self):
                super().__init__()
                self.out = nn.Linear(4, 1)
            def forward(self, x):
                d = self.out(x)
                if not self.training:
                    return d.exp()
                return d.exp()  # WN401:16
    """,
    "python numbers become complex": """
        def spread(n, x, x2):
            mean = x / n
            return (x2 / n - mean ** 2) ** 0.5
    """,
    "eigenvalues are seldom differentiated": """
        def forward(weights, x, y):
            values, vectors = torch.linalg.eigh(weights)
            return vectors @ values.clamp(min=0).sqrt().diag() + (x - y).clamp(min=0).sqrt()  # WN201:58
    """,
    "what prepares data does not train": """
        class SessionSimulator:
            def mix(self, array, is_speech):
                return array[is_speech == 1].mean()
        class Session(nn.Module):
            def mix(self, array, is_speech):
                return array[is_speech == 1].mean()  # WN510:16
    """,
    "recordings are not empty": """
        def pool(x, lengths, audio_lengths, i):
            a = x.sum(1) / audio_lengths.unsqueeze(1)
            b = x.sum(1) / lengths[i]
            return a + b + x.sum(1) / lengths.unsqueeze(1)  # WN307:20
    """,
    "directions and edges have a length": """
        def unit(direction, pos_i, pos_j, other):
            edge = pos_j - pos_i
            a = direction / direction.norm() + edge / edge.norm()
            return a + other / other.norm()  # WN305:16
    """,
    "log-probabilities do not overflow": """
        def loss(log_probs, scores):
            a = torch.log(torch.exp(log_probs).sum(-1))
            return a + torch.log(torch.exp(scores).sum(-1))  # WN404:16
    """,
    "the identity keeps a determinant away from 0": """
        def loss(a, n):
            return torch.linalg.det(a.T @ a + torch.eye(n)).log() + torch.linalg.det(a).log()  # WN105:61
    """,
    "a metric gets its mask from its caller": """
        def accuracy(hits, mask):
            return (hits * mask).sum() / mask.sum()
        def loss_of(hits, labels):
            mask = labels != -100
            return (hits * mask).sum() / mask.sum()  # WN306:12
    """,
    "shifted by what the names say": """
        def loss(scores, segments):
            e = torch.exp(scores - segment_max(scores, segments))
            f = torch.exp(scores - segment_mean(scores, segments))
            return torch.log(e.sum(-1)) + torch.log(f.sum(-1))  # WN404:35
    """,
    "features of data": """
        class Spectrogram(nn.Module):
            def forward(self, real, imag):
                return torch.sqrt(real ** 2 + imag ** 2)
        class SpectrogramLoss(nn.Module):
            def forward(self, real, imag):
                return torch.sqrt(real ** 2 + imag ** 2)  # WN202:16
    """,
    "ends that somebody chose": """
        def scale(x, qmax, qmin, start, end, box):
            x1, y1, x2, y2 = box.unbind(-1)
            a = x.sum(1) / (qmax - qmin) + x.sum(1) / (end - start)
            return a + x.sum(1) / (x2 - x1)  # WN301:16
    """,
    "double draws are not 0": """
        def noise(n):
            return torch.rand(n, dtype=torch.float64).log() + torch.rand(n).log()  # WN104:55
    """,
    "the range of what a call gave is not known": """
        def scale(x, blur):
            y, _ = blur(x)
            z = blur(x).detach()
            a = (y - y.min()) / (y.max() - y.min()) + (z - z.min()) / (z.max() - z.min())
            return a + (x - x.min()) / (x.max() - x.min())  # WN303:16
    """,
    "named entries of one tensor differ": """
        def forward(junctions, start, end):
            a, b = junctions[start, :], junctions[end, :]
            between = b - a
            return between / torch.norm(between, dim=-1)[..., None]
    """,
    "the ends of an interpolation are noise": """
        def slerp(a, b, t):
            return a / a.norm()
        def unit(a, b, t):
            return a / a.norm()  # WN305:12
    """,
    "latents vary": """
        class Sampler(DiffusionPipeline):
            @staticmethod
            def standard(volume):
                return (volume - volume.mean()) / volume.std()
        class Scaler:
            def standard(self, volume):
                return (volume - volume.mean()) / volume.std()  # WN304:16
    """,
}
