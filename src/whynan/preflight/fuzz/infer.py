"""Find out by trying what a function takes: shapes that fit together, floats or integers or masks, and in which range.

Floats of one shape first; then shapes that broadcast, then integers and masks in single places. Names of arguments are
hints that decide what is tried first, never needed. Of the ranges the widest is taken in which ordinary numbers give a
finite value: a function that is nan for half of all reals (a logarithm, an arc cosine) has a domain, and to leave it is
not a finding.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from whynan.errors import UsageError
from whynan.preflight.fuzz.explain import explain
from whynan.preflight.fuzz.fills import typical
from whynan.preflight.fuzz.inputs import Input
from whynan.preflight.fuzz.plans import MODERATE, Domain, Plan, Slot, domain_of
from whynan.preflight.fuzz.probe import Prober
from whynan.preflight.fuzz.target import Target

SIZES = {"B": 3, "D": 4, "T": 5, "H": 2, "N": 3, "C": 3, "S": 8, "K": 2, "L": 6}
BASES: tuple[tuple[str, ...], ...] = (
    ("B", "D"), ("B",), ("B", "T", "D"), ("B", "H", "T", "D"), (), ("N", "N"), ("B", "N", "N"), ("B", "C", "S", "S"),
    ("B", "C", "L"), ("D", "B"),
)  # fmt: skip
UNIT = Domain("unit interval", 0.0, 1.0)
DOMAINS = (
    Domain("real"),
    Domain("not negative", 0.0, MODERATE),
    Domain("positive", 0.0, MODERATE, open_low=True),
    Domain("[-1, 1]", -1.0, 1.0),
    UNIT,
    Domain("open unit interval", 0.0, 1.0, open_low=True, open_high=True),
    Domain("at least 1", 1.0, MODERATE),
    Domain("small ball", -0.5, 0.5),
    Domain("rows that sum to one", 0.0, 1.0, family="simplex"),
)
TARGETS = ("target", "label", "truth", "true", "gt", "mask", "length", "onehot", "reward")
PROBABILITIES = ("prob", "sigm", "conf")
MASKS = ("mask", "keep", "valid", "allowed", "select")
INTEGERS = ("index", "idx", "class", "label", "ids", "length", "token")
MOST_TRIES = 900
SECOND_TRIES = 40  # for a target as class numbers, or a mask as numbers, after the first plan


def infer(
    target: Target, prober: Prober, specs: dict[str, Input], span: tuple[float, float] | None, example: dict[str, Any]
) -> list[Plan]:
    """Plans that can be called, the most ordinary first. UsageError says what was tried."""
    slots = _slots(target, specs, span, example)
    if not any(s.floating or s.kind == "constant" for s in slots) and not slots:
        raise UsageError(f"{target.name} takes no arguments, so there is nothing to search.")
    plans: list[Plan] = []
    tried, until = 0, MOST_TRIES
    last: Exception | None = None
    some: list[str] = []
    for plan in _candidates(slots, specs, example, prober):
        if tried >= until:
            break
        tried += 1
        kinds = [s.kind for s in plan.slots]
        if plans and (kinds == [s.kind for s in plans[0].slots] or plan.sizes != plans[0].sizes):
            continue
        generator = torch.Generator().manual_seed(1)
        outcome = prober(plan, tuple(typical(s, plan, prober.dtype, generator) for s in plan.slots), gradient=False)
        if outcome.error is not None and not _about_values(plan, prober):
            last = outcome.error
            some = [*some, plan.describe()][:4]
            continue
        plans.append(within_domain(plan, prober))
        if len(plans) == 2 or not _worth_another(plan):
            break
        until = tried + SECOND_TRIES
    if plans:
        return plans
    raise UsageError(
        f"{target.name}{target.signature} could not be called: {tried} combinations of shapes and dtypes were tried, "
        f"such as {'; '.join(some)}. The last answer was {type(last).__name__}: {last}. Say what it takes, "
        f'e.g. --input "{slots[0].name}=float[2,3] in [-10,10]".'
    )


def hinted(name: str, words: Sequence[str]) -> bool:
    """Does a part of the name begin with one of the words? `y_true`, `targets`, `attn_mask`."""
    return any(part.startswith(word) for part in name.lower().split("_") for word in words)


def _slots(
    target: Target, specs: dict[str, Input], span: tuple[float, float] | None, example: dict[str, Any]
) -> list[Slot]:
    parameters = target.signature.parameters
    loose = any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters.values())
    unknown = [n for n in (*specs, *example) if n not in parameters and not loose]
    if unknown:
        raise UsageError(
            f"{target.name} has no argument {unknown[0]!r}. Its arguments are: {', '.join(parameters) or 'none'}."
        )
    out = []
    for p in parameters.values():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        if p.default is not p.empty and p.name not in specs and p.name not in example:
            continue
        after = any(q.default is not q.empty and q.name not in specs for q in _before(parameters, p.name))
        out.append(_slot(p, specs.get(p.name), span, p.kind is p.KEYWORD_ONLY or after))
    if loose and not out:
        out = [_slot(inspect.Parameter("x", inspect.Parameter.POSITIONAL_OR_KEYWORD), None, span, False)]
    if all(not s.grad for s in out if s.floating):  # with nothing but targets, they are what is searched
        out = [replace(s, grad=True) if s.name not in specs else s for s in out]
    known = {s.name for s in out}
    out += [_slot(inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY), specs[n], span, True)
            for n in specs if n not in known]  # fmt: skip
    return out


def _before(parameters: Any, name: str) -> Iterator[inspect.Parameter]:
    return itertools.takewhile(lambda p: p.name != name, parameters.values())


def _slot(p: inspect.Parameter, spec: Input | None, span: tuple[float, float] | None, keyword: bool) -> Slot:
    grad = not hinted(p.name, TARGETS)
    if spec is None:
        if p.annotation in (float, int, "float", "int"):
            return Slot(p.name, "constant", constant=1.0 if "float" in str(p.annotation) else 2, keyword=keyword)
        domain = Domain("stated", *span) if span else DOMAINS[0]
        return Slot(p.name, "float", domain=domain, grad=grad, stated=span is not None, keyword=keyword)
    domain = domain_of(spec) or (Domain("stated", *span) if span and spec.kind == "float" else DOMAINS[0])
    stated = spec.stated or (span is not None and spec.kind == "float")
    wanted = grad if spec.grad is None else spec.grad
    return Slot(p.name, spec.kind, (), domain, wanted, stated, spec.dtype, spec.constant, keyword)


def _candidates(slots: list[Slot], specs: dict[str, Input], example: dict[str, Any], prober: Prober) -> Iterator[Plan]:
    """Plans to try: those of the user first; kinds within shapes, the ordinary ones first."""
    if example:
        yield _from_example(slots, example)
        return
    spans: dict[str, tuple[int, int]] = {}
    said = {s.name: spec for s in slots if (spec := specs.get(s.name)) and spec.shape is not None}
    fixed = {name: _dims(name, spec, spans) for name, spec in said.items()}
    sizes = {**SIZES, **{letter: max(low, min(high, 3)) for letter, (low, high) in spans.items()}}
    for spec in specs.values():
        for d in spec.shape or ():
            if isinstance(d, str):
                sizes.setdefault(d, 3)
    free = [i for i, s in enumerate(slots) if s.name not in fixed and s.kind != "constant"]
    settled = [replace(s, dims=fixed[s.name]) if s.name in fixed else s for s in slots]
    for several in (False, True):
        for bases, own in _bases(prober):
            for base in bases if free else BASES[:1]:
                for kinds in _kinds(settled, specs, several):
                    for shapes in _shapes(base, kinds, free):
                        filled = list(kinds)
                        for i, dims in zip(free, shapes):
                            filled[i] = replace(filled[i], dims=dims)
                        plan = Plan(tuple(filled), {**sizes, **own}, spans, frozenset(own))
                        yield replace(plan, slots=tuple(_ranged(s, plan) for s in plan.slots))


def _bases(prober: Prober) -> Iterator[tuple[tuple[tuple[str, ...], ...], dict[str, int]]]:
    """Shapes, and sizes that a layer's parameters ask for: its features last, or in the place of channels."""
    yield BASES, {}
    wanted = dict.fromkeys(n for p in prober.parameters.values() for n in reversed(p.shape) if 1 <= n <= 4096)
    for size in list(wanted)[:6]:
        yield ((("B", "D"), ("B", "T", "D"), ("D",)), {"D": size})
        yield ((("B", "C", "S", "S"), ("B", "C", "L"), ("B", "C", "S", "S", "S")), {"C": size})


def _kinds(slots: list[Slot], specs: dict[str, Input], several: bool) -> Iterator[list[Slot]]:
    """Masks by name; all floats; one integer or mask at a time, by name or from the last. Or two (`several`)."""
    free = [i for i, s in enumerate(slots) if s.name not in specs and s.kind == "float"]
    masks = [i for i in free if hinted(slots[i].name, MASKS) and not several]
    if masks and len(slots) > 1:
        yield [replace(s, kind="bool", grad=False) if i in masks else s for i, s in enumerate(slots)]
    if not several:
        yield slots
    order = sorted(free[::-1], key=lambda i: not hinted(slots[i].name, (*INTEGERS, *MASKS, *TARGETS)))
    if len(slots) == 1:
        order = [0] if free else []
    for i in () if several else order:
        for kind in ("bool", "int") if hinted(slots[i].name, MASKS) else ("int", "bool"):
            yield [replace(s, kind=kind, grad=False) if j == i else s for j, s in enumerate(slots)]  # type: ignore[arg-type]
    for i, j in itertools.combinations(order, 2) if several else ():
        for a, b in (("int", "bool"), ("bool", "int"), ("int", "int")):
            chosen = {i: a, j: b}
            yield [replace(s, kind=chosen[k], grad=False) if k in chosen else s for k, s in enumerate(slots)]  # type: ignore[arg-type]


def _shapes(base: tuple[str, ...], slots: list[Slot], free: list[int]) -> Iterator[list[tuple[str, ...]]]:
    """One shape for each free argument: all alike, then others smaller, then one at a time."""
    others = [base[:1], base[:-1], base[-1:], (*base[:-1], *(() if not base else ("one",))), (), (*base[-1:], "K"),
              (*base[-2:-1], *base[-2:-1]), (*base[:1], *base[2:])]  # fmt: skip
    others = list(dict.fromkeys(o for o in others if o != base))
    alike = [base] * len(free)
    small = [k for k, i in enumerate(free) if slots[i].kind != "float"]
    if small and base:  # class numbers have no axis of classes
        for dims in (base[:1], base[:-1]):
            yield [dims if k in small else base for k in range(len(free))]
        yield alike
        return
    yield alike
    for k in range(len(free) - 1, 0, -1):
        for dims in others:
            yield [dims if j == k else base for j in range(len(free))]
    if len(free) > 2:
        for dims in others:
            yield [base, *[dims] * (len(free) - 1)]


def _ranged(slot: Slot, plan: Plan) -> Slot:
    """Integers are class numbers: below the size of the first argument's last axis. "one" is an axis of size one."""
    slot = replace(slot, dims=tuple(1 if d == "one" else d for d in slot.dims))
    if slot.kind == "int" and not slot.stated:
        shape = next((plan.shape(s) for s in plan.floats if len(s.dims) > 1 or s.dims), ())
        classes = shape[1] if len(shape) > 1 else 2
        return replace(slot, domain=Domain("classes", 0, max(0, classes - 1)))
    return slot


def _dims(name: str, spec: Input, spans: dict[str, tuple[int, int]]) -> tuple[str | int, ...]:
    out: list[str | int] = []
    for i, size in enumerate(spec.shape or ()):
        if isinstance(size, tuple):
            letter = f"{name}{i}"
            spans[letter] = size
            out.append(letter)
        else:
            out.append(size)
    return tuple(out)


def _from_example(slots: list[Slot], example: dict[str, Any]) -> Plan:
    filled = []
    for s in slots:
        value = example.get(s.name)
        if isinstance(value, torch.Tensor):
            kind = "float" if value.is_floating_point() else "bool" if value.dtype is torch.bool else "int"
            domain = s.domain
            if kind == "int" and not s.stated and value.numel():
                domain = Domain("as in the example", int(value.min()), int(value.max()))
            dtype = None if kind == "float" else str(value.dtype).removeprefix("torch.")
            s = replace(s, kind=kind, dims=tuple(value.shape), dtype=dtype, domain=domain)  # type: ignore[arg-type]
        elif s.name in example:
            s = replace(s, kind="constant", constant=value)
        filled.append(s)
    return Plan(tuple(filled))


def _worth_another(plan: Plan) -> bool:
    """A target that may be class numbers, or a mask, is searched in that form too."""
    words = (*INTEGERS, *MASKS, "target")
    return any(s.kind in ("float", "bool") and not s.stated and hinted(s.name, words) for s in plan.slots[1:])


# -- ranges -----------------------------------------------------------------------------------------------------------


def within_domain(plan: Plan, prober: Prober) -> Plan:
    """The plan with the widest ranges in which ordinary numbers give a finite value."""
    open_ = [s for s in plan.floats if not s.stated]
    if not open_:
        return plan
    best, score = plan, -1.0
    for choice in _choices(open_):
        trial = plan.with_domains(choice)
        share = ordinary(trial, prober)
        if share > score:
            best, score = trial, share
        if share == 1.0:
            break
    return best


def ordinary(plan: Plan, prober: Prober, tries: int = 6) -> float:
    """Share of ordinary inputs that are accepted and give a finite value."""
    generator = torch.Generator().manual_seed(2)
    good = 0
    for _ in range(tries):
        values = tuple(typical(s, plan, prober.dtype, generator) for s in plan.slots)
        outcome = prober(plan, values, gradient=False)
        meant = outcome.kind == "inf" and explain(prober, plan, values) is None  # a mask writes infinities by name
        good += outcome.fine or meant
    return good / tries


def _choices(slots: list[Slot]) -> Iterator[dict[str, Domain]]:
    """First what the names suggest, then all alike, then every combination, while there are few."""
    names = [s.name for s in slots]
    some = any(not likely(n) for n in names)
    base = {n: UNIT if likely(n) and (some or hinted(n, PROBABILITIES)) else DOMAINS[0] for n in names}
    yield base
    for n in names:
        for d in DOMAINS[1:6]:
            yield {**base, n: d}
    for d in DOMAINS[1:]:
        yield {n: base[n] if base[n] is not DOMAINS[0] else d for n in names}
    for n in names:
        for d in (DOMAINS[0], *DOMAINS[6:]):
            yield {**base, n: d}
    for d in DOMAINS:
        yield dict.fromkeys(names, d)
    if 1 < len(names) <= 3:
        for combination in itertools.product(DOMAINS[:6], repeat=len(names)):
            yield dict(zip(names, combination))


def likely(name: str) -> bool:
    """Does the name suggest a probability, or something between 0 and 1? Logarithms of it are none."""
    return hinted(name, (*PROBABILITIES, *TARGETS)) and not hinted(name, ("log", "ratio"))


def _about_values(plan: Plan, prober: Prober) -> bool:
    """The input was refused for its values, not its shape: some other range is accepted."""
    open_ = [s for s in plan.floats if not s.stated]
    return any(
        ordinary(plan.with_domains(dict.fromkeys([s.name for s in open_], d)), prober, 2) > 0 for d in DOMAINS[1:8]
    )
