"""How to bring about every condition of tests/data/op_conditions.csv: its op string -> a call on its sample inputs.

Where one op string has several conditions with different calls, the value is a list of (text in the condition, call)
and the first that fits is taken. A row whose answer differs from the birth op in the table has its answer in ANSWERS,
with the reason.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

INF = math.inf


def t(*values, dtype=torch.float32):
    return torch.tensor(values, dtype=dtype)


def _mha(x):
    attention = nn.MultiheadAttention(4, 2, batch_first=True)
    pad = torch.ones(1, 2, dtype=torch.bool)
    return attention(x, x, x, key_padding_mask=pad)[0]


def _hand_attention(x):
    scores = (x @ x.transpose(1, 2)).masked_fill(torch.ones(1, 2, 2, dtype=torch.bool), -INF)
    return torch.softmax(scores, -1) @ x


def _tanh_normal(a):
    from torch.distributions import Normal, TanhTransform, TransformedDistribution

    return TransformedDistribution(Normal(t(0.0), t(1.0)), [TanhTransform()], validate_args=False).log_prob(a)


def _normal(x, scale):
    value = t(1.0) if scale.item() else x
    return torch.distributions.Normal(x, scale, validate_args=False).log_prob(value)


def _batch_norm_eval(x):
    return F.batch_norm(x, t(0.0), t(-1.0), None, None, False)


def _spectral(x):
    layer = nn.Linear(2, 2, bias=False)
    nn.init.zeros_(layer.weight)
    return nn.utils.parametrizations.spectral_norm(layer)(x)


def _onehot_loss(x):
    return -(t(0.0, 1.0).flip(0) * torch.softmax(x, -1).log()).sum() if x[0] > x[1] else _onehot_loss(x.flip(0))


def _group_mean(x):
    groups = torch.tensor([0, 2])
    total = torch.zeros(3).index_add(0, groups, x)
    count = torch.zeros(3).index_add(0, groups, torch.ones(2))
    return total / count


def _entropy(p):
    return -(p * p.log()).sum()


def _grid(image):
    grid = torch.full((1, 1, 1, 2), math.nan)
    return F.grid_sample(image, grid, align_corners=False)


def _ctc(logits):
    log_probs = logits.log_softmax(-1)
    return F.ctc_loss(log_probs, torch.tensor([[1, 1, 2]]), torch.tensor([2]), torch.tensor([3]))


def _dice(a):
    return 2 * (a * a).sum() / (a.sum() + a.sum())


CALLS = {
    "aten::exp": torch.exp,
    "aten::exp2": torch.exp2,
    "aten::expm1": torch.expm1,
    "aten::sinh": torch.sinh,
    "aten::cosh": torch.cosh,
    "aten::special_i0": torch.special.i0,
    "aten::special_erfcx": torch.special.erfcx,
    "aten::lgamma": torch.lgamma,
    "aten::square / pow(x,2) / x*x": torch.square,
    "aten::square / x*x": torch.square,
    "aten::pow (x**3)": lambda x: x**3,
    "aten::add": lambda x, y: x + y,
    "aten::add (mask)": [
        ("finfo.min", lambda x: x + torch.finfo(torch.float32).min),
        ("", lambda x: x + torch.tensor(-65504.0, dtype=torch.float16)),
    ],
    "aten::mul": lambda x, y: x * y,
    "aten::lerp": lambda x: torch.lerp(x, -x, 0.5),
    "aten::ldexp": lambda x: torch.ldexp(x, torch.tensor([200])),
    "aten::rad2deg": torch.rad2deg,
    "aten::addcmul": lambda x: torch.addcmul(torch.zeros_like(x), x, x),
    "aten::_prelu_kernel": F.prelu,
    "aten::_to_copy (float32 -> float16)": lambda x: x.half(),
    "aten::_to_copy (float32 -> bfloat16)": lambda x: x.bfloat16(),
    "aten::_to_copy (float32 -> float8_e5m2)": lambda x: x.to(torch.float8_e5m2),
    "aten::_to_copy (float64 -> float32)": lambda x: x.float(),
    "aten::log": torch.log,
    "aten::log2": torch.log2,
    "aten::log10": torch.log10,
    "aten::log1p": torch.log1p,
    "aten::xlogy": torch.xlogy,
    "aten::special_xlog1py": torch.special.xlog1py,
    "aten::special_entr": torch.special.entr,
    "aten::logit": torch.logit,
    "aten::logsumexp": lambda x: torch.logsumexp(x, -1),
    "aten::logaddexp": torch.logaddexp,
    "aten::sqrt": [("upstream gradient 0", lambda x: x.sqrt() * 0), ("", torch.sqrt)],
    "aten::rsqrt": torch.rsqrt,
    "aten::reciprocal": torch.reciprocal,
    "aten::div": [("eps", lambda x, y: x / (y + 1e-8)), ("", lambda x, y: x / y)],
    "aten::addcdiv": lambda x, y: torch.addcdiv(torch.zeros_like(x), x, y),
    "aten::remainder": lambda x: torch.remainder(x, 0.0),
    "aten::fmod": lambda x: torch.fmod(x, 0.0),
    "aten::pow (Tensor, scalar p)": [("p < 0", lambda x: x**-1.5), ("", lambda x: x**0.5 if x.min() < -1 else x**0.3)],
    "aten::pow (Tensor, scalar p=0.1)": lambda x: x**0.1,
    "aten::pow (Tensor, Tensor)": torch.pow,
    "aten::pow (scalar, Tensor)": lambda x: torch.pow(-2.0, x),
    "aten::float_power": lambda x: torch.float_power(x, 0.5),
    "aten::hypot": torch.hypot,
    "aten::acos": torch.acos,
    "aten::asin": torch.asin,
    "aten::acosh": torch.acosh,
    "aten::atanh": torch.atanh,
    "aten::erfinv": torch.erfinv,
    "aten::special_ndtri": torch.special.ndtri,
    "aten::digamma": torch.digamma,
    "aten::polygamma(1)": lambda x: torch.polygamma(1, x),
    "aten::sum": torch.sum,
    "aten::mean": torch.mean,
    "aten::nanmean": torch.nanmean,
    "aten::median": torch.median,
    "aten::var": torch.var,
    "aten::std": torch.std,
    "sqrt(var(x))": lambda x: x.var().sqrt(),
    "aten::prod": torch.prod,
    "aten::cumprod": lambda x: torch.cumprod(x, 0),
    "aten::cumsum": lambda x: torch.cumsum(x, 0),
    "aten::linalg_vector_norm": torch.linalg.vector_norm,
    "sqrt((x*x).sum())": lambda x: (x * x).sum().sqrt(),
    "aten::_cdist_forward": torch.cdist,
    "aten::segment_reduce(mean)": lambda x: torch.segment_reduce(x, "mean", lengths=torch.tensor([2, 0])),
    "aten::segment_reduce(max)": lambda x: torch.segment_reduce(x, "max", lengths=torch.tensor([2, 0])),
    "index_add / count": _group_mean,
    "masked mean (x*m).sum()/m.sum()": lambda x: (x * torch.zeros(2)).sum() / torch.zeros(2).sum(),
    "aten::cov": torch.cov,
    "aten::corrcoef": torch.corrcoef,
    "aten::mm / addmm / linear": torch.mm,
    "aten::mm / linear": torch.mm,
    "aten::bmm / baddbmm": lambda x: torch.bmm(x, x),
    "aten::dot": lambda x: torch.dot(x, x),
    "aten::convolution": [("", lambda x, w: F.conv1d(x, w) if x.dim() == 3 else F.conv2d(x, w))],
    "aten::mm": torch.mm,
    "aten::_fft_r2c / fft": lambda x: torch.fft.rfft(x),
    "aten::avg_pool / adaptive_avg_pool": lambda x: F.adaptive_avg_pool1d(x, 1),
    "F.lp_pool (odd p)": lambda x: F.lp_pool1d(x, 3.0, 2),
    "aten::_softmax": lambda x: torch.softmax(x, -1),
    "aten::_log_softmax": lambda x: torch.log_softmax(x, -1),
    "softmax(x / T)": lambda x: torch.softmax(x / t(0.0), -1),
    "torch.masked.softmax": lambda x: torch.masked.softmax(x, -1, mask=torch.zeros(2, dtype=torch.bool)),
    "nn.MultiheadAttention (need_weights=True, the default)": _mha,
    "hand-written attention": _hand_attention,
    "log(softmax(x))": lambda x: torch.softmax(x, -1).log(),
    "-(onehot*log(softmax)).sum()": _onehot_loss,
    "exp(x)/exp(x).sum()": lambda x: x.exp() / x.exp().sum(),
    "log(exp(x).sum())": lambda x: x.exp().sum().log(),
    "log(sigmoid(x))": lambda x: x.sigmoid().log(),
    "log(1-sigmoid(x))": lambda x: (1 - x.sigmoid()).log(),
    "log(1+exp(x))": lambda x: (1 + x.exp()).log(),
    "log(cosh(x))": lambda x: x.cosh().log(),
    "1/(1+exp(-x))": lambda x: 1 / (1 + torch.exp(-x)),
    "exp(x)/(1+exp(x))": lambda x: x.exp() / (1 + x.exp()),
    "(e^x-e^-x)/(e^x+e^-x)": lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
    "x/(1+exp(-x)) (swish)": lambda x: x / (1 + torch.exp(-x)),
    "aten::softplus": lambda x: F.softplus(x, beta=0),
    "aten::silu": F.silu,
    "aten::gelu": F.gelu,
    "aten::mish": F.mish,
    "aten::softsign path (x/(1+|x|))": F.softsign,
    "where(x>0, log(x), 0)": lambda x: torch.where(x > 0, x.log(), torch.zeros_like(x)),
    "where(x>0, sqrt(x), 0)": lambda x: torch.where(x > 0, x.sqrt(), torch.zeros_like(x)),
    "where(x!=0, 1/x, 0)": lambda x: torch.where(x != 0, 1 / x, torch.zeros_like(x)),
    "where(x<50, exp(x), x)": lambda x: torch.where(x < 50, x.exp(), x),
    "where(x>t, x**(1/2.4), a*x) (sRGB)": lambda x: torch.where(x > 0.003, x ** (1 / 2.4), 12.92 * x),
    "x.log()*mask": lambda x: x.log() * torch.zeros(1),
    "log(x).masked_fill(x<=0, 0)": lambda x: x.log().masked_fill(x <= 0, 0),
    "nan_to_num(f(x))": lambda x: torch.nan_to_num(x.sqrt()),
    "log(x).clamp(min=-10)": lambda x: x.log().clamp(min=-10),
    "sqrt(x)+eps": lambda x: x.sqrt() + 1e-8,
    "(x**2)**0.5": lambda x: (x**2) ** 0.5,
    "sqrt(|x|)": lambda x: x.abs().sqrt(),
    "x/|x|, x/x.norm()": lambda x: x / x.norm(),
    "sqrt(re^2+im^2) of an FFT/STFT": lambda x: (x[0] ** 2 + x[1] ** 2).sqrt(),
    "-(p*log p).sum()": _entropy,
    "(1-p)^g * -log p (focal, g<1)": lambda p: (1 - p) ** 0.5 * -p.log(),
    "-log(-log(u)) (Gumbel)": lambda u: -torch.log(-torch.log(u)),
    "sqrt(-2 log u) (Box-Muller)": lambda u: torch.sqrt(-2 * torch.log(u)),
    "(x-mean)/std": lambda x: (x - x.mean()) / x.std(),
    "(x-mean)/(std+eps) (advantage normalisation)": lambda x: (x - x.mean()) / (x.std() + 1e-8),
    "(x-min)/(max-min)": lambda x: (x - x.min()) / (x.max() - x.min()),
    "log(var(x))": lambda x: x.var().log(),
    "2*|A.B|/(|A|+|B|) (Dice), inter/union (IoU)": _dice,
    "a.b/(|a||b|)": lambda a, b: (a * b).sum() / (a.norm() * b.norm()),
    "-0.5*(1+logvar-mu^2-exp(logvar))": lambda mu, logvar: -0.5 * (1 + logvar - mu**2 - logvar.exp()),
    "hand-written BCE y*log p+(1-y)*log(1-p)": lambda p: -(1 * p.log() + 0 * (1 - p).log()),
    "hand-written BCE": lambda p: -(p * p.log() + (1 - p) * (1 - p).log()),
    "aten::nll_loss_forward (cross_entropy)": lambda x: F.cross_entropy(x, torch.tensor([-100, -100])),
    "aten::nll_loss_forward (cross_entropy, weight)": lambda x: F.cross_entropy(x, torch.tensor([0]), weight=t(0.0, 1)),
    "cross_entropy(soft targets)": lambda x: F.cross_entropy(x, torch.tensor([[0.0, 1.0]])),
    "cross_entropy(hard target)": lambda x: F.cross_entropy(x, torch.tensor([0])),
    "cross_entropy(label_smoothing>0)": lambda x: F.cross_entropy(x, torch.tensor([1]), label_smoothing=0.1),
    "cross_entropy": lambda x: F.cross_entropy(x, torch.tensor([0])),
    "aten::kl_div path": lambda x: F.kl_div(x, torch.tensor([[0.0, 1.0]]), reduction="sum"),
    "aten::kl_div path (log_target=True)": lambda x: F.kl_div(x, t(-INF, -0.1)[None], reduction="sum", log_target=True),
    "sum p*log(p/q) by hand": lambda q: (t(0.0, 1.0)[None] * (t(0.0, 1.0)[None] / q).log()).sum(),
    "aten::poisson_nll_loss (log_input)": lambda x: F.poisson_nll_loss(x, t(1.0)),
    "F.poisson_nll_loss(log_input=False)": lambda x: F.poisson_nll_loss(x, t(1.0), log_input=False),
    "aten::mse_loss": lambda x: F.mse_loss(x, torch.zeros_like(x)),
    "F.soft_margin_loss": lambda x: F.soft_margin_loss(x, t(-1.0)),
    "aten::_ctc_loss": _ctc,
    "distributions.Normal.log_prob": _normal,
    "TransformedDistribution(Normal,[TanhTransform]).log_prob": _tanh_normal,
    "aten::native_layer_norm": lambda x: F.layer_norm(x, (2,), eps=0.0),
    "aten::rms_norm": lambda x: F.rms_norm(x, (2,), eps=0.0),
    "aten::native_group_norm": lambda x: F.group_norm(x, 1, eps=0.0),
    "aten::native_batch_norm (eval)": _batch_norm_eval,
    "hand-written RMSNorm x*rsqrt(mean(x^2)+1e-8)": lambda x: x * torch.rsqrt(x.pow(2).mean() + 1e-8),
    "aten::_weight_norm": lambda v, g: torch._weight_norm(v[None], g[None], 0),
    "parametrizations.spectral_norm": _spectral,
    "aten::linalg_inv_ex": lambda x: torch.linalg.inv_ex(x)[0],
    "aten::linalg_slogdet / logdet": lambda x: torch.linalg.slogdet(x)[1],
    "aten::logdet": torch.logdet,
    "aten::linalg_solve_triangular": lambda x: torch.linalg.solve_triangular(x, torch.ones(2, 1), upper=False),
    "aten::_linalg_eigh (eigenvectors)": lambda x: torch.linalg.eigh(x)[1] * torch.arange(4.0).reshape(2, 2),
    "aten::_linalg_svd (U or V)": lambda x: torch.linalg.svd(x)[0] * torch.arange(4.0).reshape(2, 2),
    "aten::linalg_eig": lambda x: torch.linalg.eig(x)[1].abs() * torch.arange(4.0).reshape(2, 2),
    "aten::linalg_qr": lambda x: torch.linalg.qr(x)[0] * torch.arange(4.0).reshape(2, 2),
    "aten::linalg_matrix_exp": torch.linalg.matrix_exp,
    "aten::linalg_cross / outer": lambda x: torch.linalg.cross(x, x.flip(0) * 2),
    "aten::linalg_solve_ex": lambda x: torch.linalg.solve_ex(x, t(1.0, 2.0))[0],
    "aten::_linalg_slogdet": lambda x: torch.linalg.slogdet(x)[1],
    "aten::linalg_vander": lambda x: torch.linalg.vander(x, N=4),
    "aten::grid_sampler_2d": _grid,
    "aten::special_i1": torch.special.i1,
    "aten::igammac": lambda x: torch.special.gammaincc(t(1.0), x),
    "aten::logcumsumexp": lambda x: torch.logcumsumexp(x, 0),
    "aten::index_add": lambda x: torch.zeros(1, dtype=x.dtype).index_add(0, torch.tensor([0, 0]), x),
    "aten::scatter_add": lambda x: torch.zeros(1, dtype=x.dtype).scatter_add(0, torch.tensor([0, 0]), x),
    "aten::dist": torch.dist,
    "aten::baddbmm": lambda x: torch.baddbmm(torch.zeros_like(x), x, x),
    "aten::addmm / nn.Linear with bias": lambda x, w, b: F.linear(x, w, b),
    "aten::mv / addmv": torch.mv,
    "aten::sub": lambda x, y: x - y,
    "aten::var_mean": lambda x: torch.var_mean(x)[0],
    "aten::std_mean": lambda x: torch.std_mean(x)[0],
    "aten::nansum": torch.nansum,
    "aten::trace": torch.trace,
    "aten::kron / outer": lambda x: torch.kron(x, x),
    "aten::diff": torch.diff,
    "aten::convolution (transposed)": F.conv_transpose1d,
    "amp.GradScaler.scale(loss)": lambda x: torch.amp.GradScaler("cpu").scale(x),
    "aten::mul (un-scaled fp16 gradient)": lambda x: x * 65536.0,
    "aten::div (1/world or /n_valid)": lambda x: x / torch.tensor([0.0]).sum(),
}

ENTERED = "entered"  # the answer is no op: the value was non-finite before the op ran
ANSWERS = {
    # op string: (answer, why it is not the op in the column birth_aten_op)
    "nn.MultiheadAttention (need_weights=True, the default)": (
        "aten::_softmax",
        "the mask is meant, the softmax is not",
    ),
    "hand-written attention": ("aten::_softmax", "the mask is meant, the softmax is not"),
    "torch.masked.softmax": ("aten::_softmax", "the mask is made inside; the softmax gives the NaN"),
    "aten::pow (Tensor, Tensor)|base 0": ("aten::pow", "log(0) is masked by a where in the derivative of the exponent"),
    "aten::grid_sampler_2d": ("aten::full", "the NaN grid was put there by the test itself"),
    "aten::kl_div path (log_target=True)": ("aten::mul", "the -inf target is a constant: NaN is born of it"),
    "1/(1+exp(-x))": ("aten::exp", "the infinity saved by the forward op"),
    "x/(1+exp(-x)) (swish)": ("aten::exp", "the infinity saved by the forward op"),
    "where(x!=0, 1/x, 0)": ("aten::reciprocal", "the infinity saved by the forward op"),
    "where(x<50, exp(x), x)": ("aten::exp", "the infinity saved by the forward op"),
    "nan_to_num(f(x))": ("aten::sqrt", "the NaN saved by the forward op"),
}

OPTIMIZERS = {
    # op string, dtype or condition -> (optimizer, gradients by step, accepted birth ops)
    "optim.Adam/AdamW": (lambda p: torch.optim.AdamW(p, eps=0.0), [0.0], {"addcdiv_"}),
    "optim.Adam|gradient 0": (lambda p: torch.optim.Adam(p), [0.0], {"addcdiv_"}),
    "optim.Adam|grad^2 underflows": (lambda p: torch.optim.Adam(p), [1e-4], {"addcdiv_"}),
    "optim.RAdam": (lambda p: torch.optim.RAdam(p, eps=0.0), [0.0] * 8, {"div", "div_", "reciprocal"}),
    "optim.RMSprop": (lambda p: torch.optim.RMSprop(p, eps=0.0), [0.0], {"addcdiv_"}),
    "optim.RMSprop(centered=True)": (
        lambda p: torch.optim.RMSprop(p, centered=True, alpha=0.9),
        [1000.0] * 160,
        {"sqrt_", "sqrt"},
    ),
    "optim.Adagrad": (lambda p: torch.optim.Adagrad(p, eps=0.0), [0.0], {"addcdiv_"}),
    "optim.Adadelta": (lambda p: torch.optim.Adadelta(p, eps=0.0), [0.0], {"div_"}),
    "optim.Adamax": (lambda p: torch.optim.Adamax(p, eps=0.0), [0.0], {"addcdiv_"}),
    "optim.NAdam": (lambda p: torch.optim.NAdam(p, eps=0.0), [0.0], {"addcdiv_"}),
    "optim.SGD": (lambda p: torch.optim.SGD(p, lr=1e10), [1e30], {"add_"}),
    "optim.Adam|ONE Inf": (lambda p: torch.optim.Adam(p), [INF], ENTERED),
    "optim.SGD(momentum)": (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), [INF], ENTERED),
    "nn.utils.clip_grad_norm_": (lambda p: torch.optim.SGD(p, lr=0.1), [INF], ENTERED),
}
