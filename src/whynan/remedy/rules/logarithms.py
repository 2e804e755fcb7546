"""log of something that can underflow or overflow on its way."""

from __future__ import annotations

from whynan.remedy.form import same
from whynan.remedy.match import Match
from whynan.remedy.rewriting import Answer, rule
from whynan.remedy.rules.parts import exp_of, is_sigmoid, negated, one_minus, one_plus, sigmoid_of, softmax_of


@rule
def log_of_softmax(m: Match) -> Answer | None:
    if m.root.op != "log" or not m.root.args:
        return None
    found = m.peel(m.root.args[0], lambda f: softmax_of(m, f))
    if found is None:
        return None
    core, build = found
    soft = softmax_of(m, core)
    assert soft is not None
    return build(m.call("log_softmax", m.text(soft.logits), dim=soft.dim or "-1")), "log of a softmax: log_softmax"


@rule
def log_of_sigmoid(m: Match) -> Answer | None:
    if m.root.op != "log" or not m.root.args:
        return None
    found = m.peel(m.root.args[0], is_sigmoid(m))
    if found is None:
        return None
    core, build = found
    return build(m.call("logsigmoid", sigmoid_of(m, core))), "log of a sigmoid: logsigmoid"


@rule
def log_of_one_minus_sigmoid(m: Match) -> Answer | None:
    if m.root.op not in ("log", "log1p") or not m.root.args:
        return None
    if m.root.op == "log":
        p = one_minus(m, m.root.args[0])
    else:
        p = m.root.args[0].args[0] if m.root.args[0].op == "neg" else None
    found = m.peel(p, is_sigmoid(m)) if p is not None else None
    if found is None:
        return None
    core, build = found
    z = core.args[0] if core.op == "sigmoid" else None
    text = negated(m, z) if z is not None else f"-({sigmoid_of(m, core)})"
    return build(m.call("logsigmoid", text)), "log(1 - sigmoid(x)): logsigmoid(-x)"


@rule
def log_of_sum_of_exp(m: Match) -> Answer | None:
    if m.root.op != "log" or not m.root.args:
        return None
    total = m.bare(m.root.args[0])
    if total.op not in ("sum", "mean") or not total.args:
        return None
    z = exp_of(m, total.args[0])
    if z is None:
        return None
    dim, keep = m.option(total, 1, "dim") or m.option(total, 1, "axis"), m.option(total, 2, "keepdim")
    inner = m.text(z) if dim else f"{m.tight(z)}.flatten()"
    text = m.call("logsumexp", inner, dim=dim or "0", keepdim=keep)
    if total.op == "mean":
        if dim and not dim.lstrip("-").isdigit():
            return None
        size = f"{m.tight(z)}.shape[{dim}]" if dim else f"{m.tight(z)}.numel()"
        m.edits += m.source.importing("math.log")
        text = f"({text} - {m.source.spell('math.log')}({size}))"
    return text, "log of a sum of exp: logsumexp"


@rule
def log_of_one_plus_exp(m: Match) -> Answer | None:
    if m.root.op not in ("log", "log1p") or not m.root.args:
        return None
    rest = one_plus(m, m.root.args[0]) if m.root.op == "log" else m.root.args[0]
    z = exp_of(m, rest) if rest is not None else None
    return (m.call("softplus", m.text(z)), "log(1 + exp(x)): softplus") if z is not None else None


@rule
def log_of_cosh(m: Match) -> Answer | None:
    if m.root.op != "log" or not m.root.args or m.see(m.root.args[0]).op != "cosh":
        return None
    z = m.see(m.root.args[0]).args[0]
    x = m.tight(z)
    return f"({x}.abs() + {m.call('softplus', f'-2 * {x}.abs()')} - 0.6931472)", "log(cosh(x)) without cosh"


@rule
def log_of_one_plus(m: Match) -> Answer | None:
    if m.root.op != "log" or not m.root.args:
        return None
    x = one_plus(m, m.root.args[0])
    if x is None or exp_of(m, x) is not None or x.number is not None:
        return None
    return f"{m.source.spell('torch.log1p')}({m.text(x)})", "log(1 + x): log1p"


@rule
def log_of_share(m: Match) -> Answer | None:
    """log(picked exp(z) / exp(z).sum(dim)): contrastive losses. Picked z minus logsumexp(z)."""
    if m.root.op != "log" or not m.root.args:
        return None
    share = m.bare(m.root.args[0])
    if share.op != "div" or len(share.args) != 2:
        return None
    picked, total = m.peel(share.args[0], lambda f: f.op == "exp" and bool(f.args)), m.bare(share.args[1])
    z = exp_of(m, total.args[0]) if total.op == "sum" and total.args else None
    dim = (m.option(total, 1, "dim") or m.option(total, 1, "axis")) if z is not None else None
    if picked is None or z is None or dim is None or not same(m.source, z, picked[0].args[0]):
        return None
    core, build = picked
    whole = m.call("logsumexp", m.text(z), dim=dim, keepdim=m.option(total, 2, "keepdim"))
    text = f"{build(m.text(core.args[0]))} - {whole}"
    return text if m.source.parenthesised(m.root.node) else f"({text})", "log of a share of exp: log space"
