# ruff: noqa: E501  (a row is read best on few lines)
"""Source snippets and the patch expected for each: (name, cause, op, phase, failing text, snippet, expected added lines).

The failing text is looked up in the snippet to get the line of the birth. The expected lines are those of the FIRST
candidate whose class some cause asks for; a row with `anywhere=True` only needs a candidate that adds them.
"""

from __future__ import annotations

from dataclasses import dataclass

HEAD = "import numpy as np\nimport torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n\n"


@dataclass(frozen=True)
class Row:
    name: str
    cause: str
    op: str
    failing: str
    snippet: str
    added: str
    phase: str = "forward"
    anywhere: bool = False
    head: str = HEAD


LOOP = """
model = nn.Linear(3, 1)
optimizer = torch.optim.{opt}
for x, y in batches():
    loss = criterion(model(x), y)
{zero}    loss.backward()
    optimizer.step()
"""


def loop(opt: str = "SGD(model.parameters(), lr=0.5)", zero: str = "    optimizer.zero_grad()\n") -> str:
    return LOOP.format(opt=opt, zero=zero)


ROWS = [
    # -- stable formulations -----------------------------------------------------------------------------------------
    Row("log-softmax-method", "log-of-zero", "aten::log", ".log()", "def f(z):\n    return -z.softmax(dim=-1).log().mean()\n",
        "    return -F.log_softmax(z, dim=-1).mean()"),
    Row("log-softmax-function", "log-of-zero", "aten::log", "torch.log", "def f(z):\n    return torch.log(torch.softmax(z, 1))\n",
        "    return F.log_softmax(z, dim=1)"),
    Row("log-softmax-eps", "log-of-zero", "aten::log", "torch.log", "def f(z):\n    return torch.log(F.softmax(z, dim=1) + 1e-9)\n",
        "    return F.log_softmax(z, dim=1)"),
    Row("log-softmax-variable", "log-of-zero", "aten::log", "torch.log",
        "def f(z, y):\n    p = torch.softmax(z, dim=-1)\n    return -torch.log(p[range(len(y)), y]).mean()\n",
        "    return -F.log_softmax(z, dim=-1)[range(len(y)), y].mean()"),
    Row("log-softmax-gather", "log-of-zero", "aten::log", "torch.log",
        "def f(z, y):\n    p = F.softmax(z, dim=1)\n    picked = p.gather(1, y[:, None])\n    return -torch.log(picked).mean()\n",
        "    return -F.log_softmax(z, dim=1).gather(1, y[:, None]).mean()"),
    Row("log-softmax-hoisted", "log-of-zero", "aten::log", "p.log()",
        "def f(model, x, y):\n    p = F.softmax(model(x), dim=1)\n    return -(y * p.log()).sum()\n",
        "    logits = model(x)\n    return -(y * F.log_softmax(logits, dim=1)).sum()"),
    Row("log-softmax-module", "log-of-zero", "aten::log", "torch.log",
        "class M(nn.Module):\n    def __init__(self):\n        self.soft = nn.Softmax(dim=2)\n\n    def forward(self, x):\n        return torch.log(self.soft(x))\n",
        "        return F.log_softmax(x, dim=2)"),
    Row("softmax-by-hand-log", "exp-overflow", "aten::exp", "e = torch.exp",
        "def f(z):\n    e = torch.exp(z)\n    return torch.log(e / e.sum(dim=1, keepdim=True))\n", "    return F.log_softmax(z, dim=1)"),
    Row("softmax-by-hand", "exp-overflow", "aten::exp", "exp(z) /",
        "def f(z):\n    return torch.exp(z) / torch.exp(z).sum(-1, keepdim=True)\n", "    return F.softmax(z, dim=-1)"),
    Row("softmax-by-hand-masked", "exp-overflow", "aten::exp", "torch.exp",
        "def f(q, k, m):\n    s = q @ k\n    w = torch.exp(s) * m\n    return w / w.sum(dim=-1, keepdim=True)\n",
        '    w = s.masked_fill(m == 0, float("-inf"))\n    return torch.softmax(w, dim=-1)'.replace('"', "'")),
    Row("softmax-by-hand-shift", "exp-overflow", "aten::exp", "torch.exp",
        "def f(s):\n    w = torch.exp(s)\n    n = w.norm()\n    return (w / w.sum(dim=-1, keepdim=True)) * n\n",
        "    w = torch.exp(s - s.amax(dim=-1, keepdim=True))", anywhere=True),
    Row("contrastive", "exp-overflow", "aten::exp", "torch.exp",
        "def f(s):\n    e = torch.exp(s / 0.01)\n    pos = torch.diagonal(e)\n    return -torch.log(pos / e.sum(dim=1)).mean()\n",
        "    return -(torch.diagonal(s / 0.01) - torch.logsumexp(s / 0.01, dim=1)).mean()", anywhere=True),
    Row("clamp-already-there", "singular-gradient", "AcosBackward0", "acos", "def f(c):\n    return c.clamp(-1, 1).acos()\n",
        "    return c.clamp(-1 + 1e-6, 1 - 1e-6).acos()", "backward"),
    Row("logsumexp", "exp-overflow", "aten::exp", "torch.log", "def f(z):\n    return torch.log(torch.sum(torch.exp(z), dim=1))\n",
        "    return torch.logsumexp(z, dim=1)"),
    Row("logsumexp-method", "exp-overflow", "aten::exp", "z.exp()", "def f(z):\n    return z.exp().sum(-1, keepdim=True).log()\n",
        "    return torch.logsumexp(z, dim=-1, keepdim=True)"),
    Row("softplus", "exp-overflow", "aten::exp", "torch.log", "def f(z):\n    return torch.log(1 + torch.exp(-z)).mean()\n",
        "    return F.softplus(-z).mean()"),
    Row("softplus-log1p", "exp-overflow", "aten::exp", "log1p", "def f(z):\n    return torch.log1p(z.exp())\n", "    return F.softplus(z)"),
    Row("logsigmoid", "log-of-zero", "aten::log", "torch.log", "def f(z):\n    return -torch.log(torch.sigmoid(z))\n", "    return -F.logsigmoid(z)"),
    Row("logsigmoid-minus", "log-of-zero", "aten::log", "torch.log", "def f(z):\n    return torch.log(1 - torch.sigmoid(z))\n",
        "    return F.logsigmoid(-z)"),
    Row("bce-by-hand", "log-of-zero", "aten::log", "torch.log",
        "def f(z, y):\n    p = torch.sigmoid(z)\n    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()\n",
        '    return -(-F.binary_cross_entropy_with_logits(z, y, reduction="none")).mean()', anywhere=True),
    Row("bce-of-probabilities", "log-of-zero", "aten::log", "log(p",
        "def f(p, y):\n    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()\n",
        '    return -(-F.binary_cross_entropy(p, y, reduction="none")).mean()'),
    Row("kl-div-target", "singular-gradient", "XlogyBackward0", "F.kl_div",
        "def f(a, z):\n    p = F.softmax(z, dim=-1)\n    return F.kl_div(a, p, reduction='batchmean')\n",
        "    return F.kl_div(a, F.log_softmax(z, dim=-1), reduction='batchmean', log_target=True)", "backward"),
    Row("normalize", "division-by-zero", "aten::div", "x / x.norm", "def f(x):\n    return x / x.norm(dim=1, keepdim=True)\n",
        "    return F.normalize(x, dim=1)"),
    Row("vector-norm", "singular-gradient", "SqrtBackward0", "torch.sqrt", "def f(a, b):\n    return torch.sqrt(((a - b) ** 2).sum(dim=1))\n",
        "    return torch.linalg.vector_norm(a - b, dim=1)", "backward"),
    Row("std-by-hand", "singular-gradient", "SqrtBackward0", "torch.sqrt", "def f(x):\n    return x / torch.sqrt(x.var(dim=0) + 1e-12)\n",
        "    return x / x.std(dim=0)", "backward"),
    Row("no-alias", "log-of-zero", "aten::log", "torch.log", "def f(z):\n    return torch.log(torch.sigmoid(z))\n",
        "    return torch.nn.functional.logsigmoid(z)", head="import torch\n\n"),
    Row("alias", "log-of-zero", "aten::log", "th.log", "def f(z):\n    return th.log(th.softmax(z, dim=0))\n", "    return fn.log_softmax(z, dim=0)",
        head="import torch as th\nfrom torch.nn import functional as fn\n\n"),
    Row("from-import", "log-of-zero", "aten::log", "log(", "def f(z):\n    return log(softmax(z, dim=0))\n", "    return torch.log_softmax(z, dim=0)",
        head="import torch\nfrom torch import log, softmax\n\n"),
    # -- guards --------------------------------------------------------------------------------------------------------
    Row("log-power", "log-of-zero", "aten::log10", "log10", "def f(p):\n    return 10 * torch.log10(p)\n",
        "    return 10 * torch.log10(p.clamp(min=1e-8))"),
    Row("log-of-difference", "log-of-zero", "aten::log", "torch.log", "def f(d):\n    return torch.log(1 - d).mean()\n",
        "    return torch.log((1 - d).clamp(min=1e-8)).mean()"),
    Row("numpy-log", "log-of-zero", "", "np.log", "def f(prices):\n    return np.log(prices)\n", "    return np.log(np.maximum(prices, 1e-8))", "data"),
    Row("math-log", "log-of-zero", "", "math.log", "import math\n\n\ndef f(n):\n    return math.log(n)\n", "    return math.log(max(n, 1))", "init"),
    Row("eps-inside", "singular-gradient", "SqrtBackward0", ".sqrt()", "def f(d):\n    return d.pow(2).mean(-1).sqrt()\n",
        "    return (d.pow(2).mean(-1) + 1e-8).sqrt()", "backward"),
    Row("eps-inside-operator", "singular-gradient", "PowBackward0", "** 0.5", "def f(a, b):\n    return (a * a + b * b) ** 0.5\n",
        "    return (a * a + b * b + 1e-7) ** 0.5", "backward", anywhere=True),
    Row("root-of-sum", "singular-gradient", "SqrtBackward0", "torch.sqrt", "def f(x):\n    return torch.sqrt(x[:, 0] ** 2 + x[:, 1] ** 2)\n",
        "    return torch.sqrt(x[:, 0] ** 2 + x[:, 1] ** 2 + 1e-8)", "backward"),
    Row("pow-fraction", "singular-gradient", "PowBackward0", "p ** q", "def f(p, q):\n    return (1 - p ** q) / q\n",
        "    return (1 - p.clamp(min=1e-7) ** q) / q", "backward"),
    Row("pow-negative-base", "domain-error", "aten::pow", "x**gamma", "def f(x, gamma):\n    return x**gamma\n", "    return x.clamp(min=1e-7)**gamma"),
    Row("acos", "domain-error", "aten::acos", "acos", "def f(u, v):\n    return torch.acos((u * v).sum(-1))\n",
        "    return torch.acos((u * v).sum(-1).clamp(-1 + 1e-6, 1 - 1e-6))"),
    Row("acosh", "domain-error", "aten::acosh", "acosh", "def f(g):\n    return torch.acosh(1 + 2 * g)\n",
        "    return torch.acosh((1 + 2 * g).clamp(min=1 + 1e-6))"),
    Row("atanh-method", "domain-error", "aten::atanh", "atanh", "def f(a):\n    return a.atanh()\n", "    return a.clamp(-1 + 1e-6, 1 - 1e-6).atanh()"),
    Row("exp", "exp-overflow", "aten::exp", "torch.exp", "def f(new, old):\n    return torch.exp(new.log_prob(3) - old)\n",
        "    return torch.exp((new.log_prob(3) - old).clamp(max=20))"),
    Row("exp-attribute", "exp-overflow", "aten::exp", "self.log_var.exp", "class M(nn.Module):\n    def forward(self, x):\n        return self.log_var.exp() * x\n",
        "        return self.log_var.clamp(max=20).exp() * x"),
    Row("length", "division-by-zero", "aten::div", "/ lengths", "def f(total, lengths):\n    return total / lengths.unsqueeze(1)\n",
        "    return total / lengths.unsqueeze(1).clamp(min=1)"),
    Row("mask-sum", "division-by-zero", "aten::div", "mask.sum", "def f(x, mask):\n    return (x * mask).sum() / mask.sum()\n",
        "    return (x * mask).sum() / mask.sum().clamp(min=1)"),
    Row("scalar-difference", "division-by-zero", "", "high - low",
        "def f(n, low=0, high=0):\n    return torch.arange(n) / (high - low)\n", "    return torch.arange(n) / max(high - low, 1e-8)", "init", anywhere=True),
    Row("schedule", "division-by-zero", "aten::mul_", "optimizer.step", loop() + "    scheduler.step()\nscheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, decay)\n\n\ndef decay(step):\n    return 1.0 / np.sqrt(step - 60)\n",
        "    return 1.0 / np.maximum(np.sqrt(step - 60), 1)", "optimizer", anywhere=True),
    Row("std-denominator", "division-by-zero", "aten::div", "/ std", "def f(x):\n    std = x.std(dim=1, keepdim=True)\n    return (x - x.mean()) / std\n",
        "    return (x - x.mean()) / std.clamp(min=1e-8)"),
    Row("in-place-division", "division-by-zero", "aten::div_", "x /= ", "def f(x):\n    x /= x.abs().sum()\n    return x\n", "    x /= x.abs().sum().clamp(min=1e-8)"),
    Row("distribution", "division-by-zero", "aten::div", "log_prob",
        "def f(mu, sigma, x):\n    d = torch.distributions.Normal(mu, sigma)\n    return d.log_prob(x)\n",
        "    d = torch.distributions.Normal(mu, sigma.clamp(min=1e-4))", anywhere=True),
    Row("multi-line", "log-of-zero", "aten::log", "torch.log(", "def f(a):\n    return torch.log(\n        a,  # the power\n    )\n",
        "        a.clamp(min=1e-8),  # the power"),
    Row("comprehension", "log-of-zero", "aten::log", "torch.log", "def f(xs):\n    return sum([torch.log(x) for x in xs])\n",
        "    return sum([torch.log(x.clamp(min=1e-8)) for x in xs])"),
    Row("gumbel", "log-of-zero", "aten::log", "torch.log", "def f(u):\n    return -torch.log(-torch.log(u))\n",
        "    return -torch.log((-torch.log(u.clamp(min=1e-8))).clamp(min=1e-8))", anywhere=True),
    # -- empty reductions, masks, branches ---------------------------------------------------------------------------
    Row("mean-of-selection", "empty-reduction", "aten::mean", ".mean()", "def f(x, m):\n    return 1 - x[m].mean()\n",
        "    return 1 - x[m].sum() / max(x[m].numel(), 1)"),
    Row("std-of-one", "empty-reduction", "aten::std", "a.std", "def f(a):\n    return (a - a.mean()) / (a.std() + 1e-8)\n",
        "    return (a - a.mean()) / (a.std(correction=0) + 1e-8)"),
    Row("std-unbiased", "empty-reduction", "aten::std", "torch.std", "def f(a):\n    return torch.std(a, dim=0, unbiased=True)\n",
        "    return torch.std(a, dim=0, unbiased=False)"),
    Row("ignored-targets", "empty-reduction", "aten::nll_loss_forward", "cross_entropy",
        "def f(z, y):\n    return F.cross_entropy(z, y, ignore_index=-1)\n",
        '    return F.cross_entropy(z, y, ignore_index=-1, reduction="sum") / (y != -1).sum().clamp(min=1)'),
    Row("ignored-targets-module", "empty-reduction", "aten::nll_loss_forward", "= criterion(",
        "criterion = nn.CrossEntropyLoss(ignore_index=0)\n\n\ndef f(z, y):\n    loss = criterion(z, y)\n    return loss\n",
        '    loss = F.cross_entropy(z, y, ignore_index=0, reduction="sum") / (y != 0).sum().clamp(min=1)'),
    Row("ctc", "indexing-or-padding", "aten::_ctc_loss", "F.ctc_loss", "def f(a, b, c, d):\n    return F.ctc_loss(a, b, c, d)\n",
        "    return F.ctc_loss(a, b, c, d, zero_infinity=True)"),
    Row("mask-fill", "fully-masked-softmax", "aten::_softmax", "softmax",
        'def f(s, m):\n    s = s.masked_fill(~m, float("-inf"))\n    return torch.softmax(s, dim=-1)\n',
        "    s = s.masked_fill(~m, torch.finfo(s.dtype).min)"),
    Row("mha-padding", "fully-masked-softmax", "aten::_softmax", "self.attn(",
        "class M(nn.Module):\n    def __init__(self):\n        self.attn = nn.MultiheadAttention(8, 2)\n\n    def forward(self, x, pad):\n        return self.attn(x, x, x, key_padding_mask=pad)[0]\n",
        "        return self.attn(x, x, x, key_padding_mask=pad & ~pad.all(dim=-1, keepdim=True))[0]"),
    Row("double-where", "singular-gradient", "SqrtBackward0", "torch.where", "def f(x):\n    return torch.where(x > 0, torch.sqrt(x), 0.0)\n",
        "    return torch.where(x > 0, torch.sqrt(torch.where(x > 0, x, 1.0)), 0.0)", "backward"),
    Row("double-where-variable", "singular-gradient", "LogBackward0", "torch.log",
        "def f(x):\n    y = x * torch.log(x)\n    return torch.where(x > 0, y, 0.0)\n",
        "    x_safe = torch.where(x > 0, x, 1.0)\n    y = x_safe * torch.log(x_safe)", "backward"),
    # -- precision -----------------------------------------------------------------------------------------------------
    Row("half-model", "low-precision-underflow", "aten::addcdiv_", "optimizer.step", loop("Adam(model.parameters(), lr=1e-3)").replace("nn.Linear(3, 1)", "nn.Linear(3, 1).half()"),
        "optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-4)", "optimizer"),
    Row("no-half", "low-precision-overflow", "aten::mm", "model(x)", loop().replace("nn.Linear(3, 1)", "nn.Linear(3, 1).half()"), "model = nn.Linear(3, 1)", anywhere=True),
    Row("autocast-bfloat16", "low-precision-overflow", "aten::mm", "model(x)",
        'def f(model, x):\n    with torch.autocast("cuda", dtype=torch.float16):\n        return model(x)\n',
        '    with torch.autocast("cuda", dtype=torch.bfloat16):', anywhere=True),
    # -- optimizers ----------------------------------------------------------------------------------------------------
    Row("lower-lr", "learning-rate-too-high", "aten::mse_loss", "criterion(model", loop(), "optimizer = torch.optim.SGD(model.parameters(), lr=0.05)"),
    Row("lower-lr-name", "learning-rate-too-high", "aten::mse_loss", "criterion(model", "RATE = 0.5\n" + loop("SGD(model.parameters(), lr=RATE)"), "RATE = 0.05"),
    Row("lower-lr-args", "learning-rate-too-high", "aten::mse_loss", "criterion(model", loop("SGD(model.parameters(), lr=args.lr)"),
        "optimizer = torch.optim.SGD(model.parameters(), lr=args.lr / 10)"),
    Row("clip", "exploding-gradients", "aten::addmm", "criterion(model", loop(), "    nn.utils.clip_grad_norm_(model.parameters(), 1.0)"),
    Row("clip-moved", "optimizer-misuse", "aten::mm", "model(x)", loop() + "    nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n",
        "    nn.utils.clip_grad_norm_(model.parameters(), 1.0)"),
    Row("zero-grad", "learning-rate-too-high", "aten::mse_loss", "criterion(model", loop(zero=""), "    optimizer.zero_grad()"),
    Row("unscale", "loss-scaling-misuse", "aten::mul", "model(x)",
        loop().replace("    optimizer.step()", "    nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n    scaler.step(optimizer)\n    scaler.update()"),
        "    scaler.unscale_(optimizer)"),
    Row("hook", "exploding-gradients", "MmBackward0", "h = torch.tanh",
        "class R(nn.Module):\n    def forward(self, x):\n        h = x[:, 0] * 0\n        for t in range(9):\n            h = torch.tanh(self.w(h) + x[:, t])\n        return h\n",
        "            if h.requires_grad:\n                h.register_hook(lambda grad: grad.clamp(-1.0, 1.0))", "backward"),
    Row("clip-scaler", "exploding-gradients", "aten::addmm", "model(x)", loop().replace("    optimizer.step()", "    scaler.step(optimizer)\n    scaler.update()"),
        "    scaler.unscale_(optimizer)\n    nn.utils.clip_grad_norm_(model.parameters(), 1.0)"),
    Row("optimizer-eps", "optimizer-misuse", "aten::addcdiv_", "optimizer.step", loop("Adam(model.parameters(), eps=0)"),
        "optimizer = torch.optim.Adam(model.parameters(), eps=1e-8)", "optimizer"),
    Row("centered", "optimizer-misuse", "aten::sqrt", "optimizer.step", loop("RMSprop(model.parameters(), centered=True)"),
        "optimizer = torch.optim.RMSprop(model.parameters(), centered=False)", "optimizer", anywhere=True),
    # -- data, memory, initialization, matrices ----------------------------------------------------------------------
    Row("drop-batch", "bad-input", "", "for x, y", loop(), "    if not (torch.isfinite(x).all() and torch.isfinite(y).all()):\n        continue", "data"),
    Row("drop-batch-dict", "bad-input", "", "for batch", loop().replace("for x, y", "for batch").replace("model(x), y", 'model(batch["x"]), batch["y"]'),
        "    if any(torch.is_tensor(t) and not torch.isfinite(t).all() for t in batch.values()):\n        continue", "data"),
    Row("empty-memory", "uninitialized-memory", "", "torch.empty", "buffer = torch.empty(4, 4)\n" + loop(), "buffer = torch.zeros(4, 4)", "init"),
    Row("gain", "bad-initialization", "aten::mm", "nn.init", "w = torch.empty(3)\nnn.init.orthogonal_(w, gain=3.0)\n" + loop(), "nn.init.orthogonal_(w, gain=1.0)", anywhere=True),
    Row("no-minus-of-a-minus", "log-of-zero", "aten::log", "torch.log(1 - p)",
        "def f(p, y):\n    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p))\n",
        "    return F.binary_cross_entropy(p, y, reduction=\"none\")", anywhere=True),
    Row("ratio-at-both-ends", "log-of-zero", "aten::log", "torch.log", "def f(a, b):\n    return a * torch.log(a / b)\n",
        "    return a * torch.log((a / b.clamp(min=1e-8)).clamp(min=1e-8))", anywhere=True),
    Row("narrow-floor", "log-of-zero", "aten::log", "torch.log", "def f(p):\n    return torch.log(p).sum()\n",
        "    return torch.log(p.clamp(min=1e-30)).sum()", anywhere=True),
    Row("static-scale", "loss-scaling-misuse", "aten::mm", "backward",
        "@dataclass\nclass C:\n    scale: float = 2.0 ** 17\n\n\ndef f(loss, cfg):\n    (loss * cfg.scale).backward()\n",
        "    scale: float = 2.0 ** 10", "backward", anywhere=True, head=HEAD + "from dataclasses import dataclass\n\n"),
    Row("jitter", "ill-conditioned-linalg", "aten::linalg_cholesky_ex", "cholesky", "def f(k):\n    return torch.linalg.cholesky(k)\n",
        "    return torch.linalg.cholesky(k + 1e-6 * torch.eye(k.shape[-1]).to(k))"),
    Row("accumulated", "learning-rate-too-high", "aten::mse_loss", "criterion(model",
        loop().replace("for x, y in batches():", "for i, (x, y) in enumerate(batches()):").replace("    optimizer.step()", "    if (i + 1) % 8 == 0:\n        optimizer.step()"),
        "    (loss / 8).backward()"),
]  # fmt: skip
