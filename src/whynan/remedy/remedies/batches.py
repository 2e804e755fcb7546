"""drop-bad-batch, impute-inputs, normalize-inputs: what is done to a batch at the top of the training loop."""

from __future__ import annotations

from whynan.case.facts import Report
from whynan.remedy import loops
from whynan.remedy.candidate import Candidate
from whynan.remedy.loops import Loop
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source

SCALE = ("input-scale", "arithmetic-overflow")


def _causes(report: Report) -> list[str]:
    return [c.class_ for c in report.causes[:3]]


@remedy("drop-bad-batch", "skip batches that are not finite", where="project")
def drop_bad_batch(report: Report, source: Source) -> list[Candidate]:
    """Skip a batch that holds NaN or Inf (or, for input-scale, values beyond any other batch) before the model sees
    it.

    Looks at the data, never at the loss: a batch is skipped because it is bad, not because training is.
    """
    out = []
    scale = any(c in SCALE for c in _causes(report))
    for i, loop in enumerate(loops.training_loops(source)):
        condition = _not_finite(source, loop)
        edit = source.insert_before(loop.top, f"if {condition}:", f"{_step(source, loop)}continue")
        if edit:
            order = (3.0 if scale else 0.3) + 0.1 * i
            out.append(Candidate("drop-bad-batch", "skip batches with NaN or Inf", source, (edit,), order=order))
        if scale and not loop.whole:
            condition = " or ".join(f"{n}.abs().max() > 1e6" for n in loop.names)
            edit = source.insert_before(loop.top, f"if {condition}:", f"{_step(source, loop)}continue")
            if edit:
                out.append(
                    Candidate(
                        "drop-bad-batch", "skip batches with values beyond 1e6", source, (edit,), order=0.5 + 0.1 * i
                    )
                )
    return out


def _step(source: Source, loop: Loop) -> str:
    return "\t" if "\t" in source.indent(loop.top) else "    "


def _not_finite(source: Source, loop: Loop) -> str:
    finite = source.spell("torch.isfinite")
    if loop.whole:
        items = f"{loop.names[0]}.values()" if loops.is_dict(source, loop) else loop.names[0]
        return f"any({source.spell('torch.is_tensor')}(t) and not {finite}(t).all() for t in {items})"
    tests = [f"{finite}({n}).all()" for n in loop.names]
    return f"not ({' and '.join(tests)})" if len(tests) > 1 else f"not {tests[0]}"


@remedy("impute-inputs", "replace missing values in the batch", where="project")
def impute_inputs(report: Report, source: Source) -> list[Candidate]:
    """Replace NaN and Inf in the batch by 0 before the model sees it. Applies where the data itself holds missing
    values."""
    if not any(c == "bad-input" for c in _causes(report)) and not (report.birth and report.birth.phase == "data"):
        return []
    out = []
    for i, loop in enumerate(loops.training_loops(source)):
        if loop.whole:
            continue
        names = [n for n in loop.names if not _label(n)] or list(loop.names)
        for j, chosen in enumerate((names, list(loop.names))):
            lines = [f"{n} = {source.spell('torch.nan_to_num')}({n}, nan=0.0, posinf=0.0, neginf=0.0)" for n in chosen]
            edit = source.insert_before(loop.top, *lines)
            if edit and (j == 0 or chosen != names):
                out.append(
                    Candidate(
                        "impute-inputs",
                        "replace NaN and Inf in the batch by 0",
                        source,
                        (edit,),
                        order=0.6 + 0.1 * i + 0.05 * j,
                    )
                )
    return out


def _label(name: str) -> bool:
    return name in ("y", "label", "labels", "target", "targets", "idx", "index", "ids", "mask")


@remedy("normalize-inputs", "standardise the inputs", where="project")
def normalize_inputs(report: Report, source: Source) -> list[Candidate]:
    """Bring each input column to mean 0 and deviation 1 within the batch. Applies where every batch is extreme."""
    out = []
    for i, loop in enumerate(loops.training_loops(source)):
        names = [n for n in loop.names if not _label(n)]
        if loop.whole or not names:
            continue
        x = names[0]
        line = f"{x} = ({x} - {x}.mean(dim=0)) / ({x}.std(dim=0, correction=0) + 1e-6)"
        edit = source.insert_before(loop.top, line)
        if edit:
            out.append(
                Candidate("normalize-inputs", f"standardise {x} in each batch", source, (edit,), order=0.5 + 0.1 * i)
            )
    return out
