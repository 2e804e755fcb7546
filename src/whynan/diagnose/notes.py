"""What remains open, said in words; and where the numbers at the birth came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from whynan.case.facts import Cause
from whynan.diagnose.assessment import Assessment
from whynan.diagnose.counterfactuals.judge import Verdict
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.depth import depth
from whynan.diagnose.measurements.growth import growth
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.shadow import shadow64
from whynan.diagnose.words import listed, number

TWINS = (
    {"division-by-zero", "empty-reduction"},
    {"division-by-zero", "indexing-or-padding"},
    {"log-of-zero", "domain-error"},
    {"loss-scaling-misuse", "low-precision-overflow"},
)
"""Two names for one fault: which of them is right is no question that a reader has."""
GROWN = ("overflow", "exp", "cast", "derivative-overflow", "infinities", "div-tiny")


def doubts(
    inquest: Inquest, causes: Sequence[Cause], assessments: Sequence[Assessment], results: Mapping[str, Verdict]
) -> Iterator[str]:
    """Two causes that are level, what would decide between them; a step that could not be executed again."""
    if (
        len(causes) > 1
        and causes[0].level != "proved"
        and causes[0].score - causes[1].score < 0.12
        and causes[1].score > 0.4
        and {causes[0].class_, causes[1].class_} not in TWINS
    ):
        a, b = assessments[0].expects, assessments[1].expects
        deciding = [n for n in dict.fromkeys((*a, *b)) if a.get(n) is not b.get(n) and n not in results]
        by = f"; {listed(deciding[:3])} would tell them apart" if deciding else ""
        yield f"{causes[0].class_} and {causes[1].class_} explain what was measured about equally well{by}."
    if not inquest.repeatable and causes:
        yield "No iteration could be executed again, so no counterfactual was tried: nothing here is proved."
    if causes and causes[0].class_ == "nondeterministic-fault":
        yield "Check the hardware (rank, device, ECC counters), work on side streams, and memory from torch.empty."
    identical = results.get("identical")
    if identical is not None and identical.passed and causes and causes[0].class_ != "nondeterministic-fault":
        yield "The control passed as well: the failure depends on more than can be put back; nothing is proved."
    if causes and causes[0].level == "guess":
        yield "No measurement singles out one cause; the first one named is a guess."


def upstream_of(inquest: Inquest) -> Iterator[str]:
    """Sentences: the growth within the step, the growth across steps, the ops that made the operand."""
    within, across, shadow = depth(inquest), growth(inquest), shadow64(inquest)
    if within is not None and within.total > 1e3 and mechanism(inquest) in GROWN:
        at = f", mostly line {within.line} (`{within.source}`)" if within.line and within.repeats > 1 else ""
        grew = f"from {number(within.first)} to {number(within.last)} over {within.ops} ops{at}"
        yield f"Within the step the largest value grew {grew}."
    series = across.geometric if across is not None else None
    if series is not None:
        begun = (inquest.birth.step if inquest.birth is not None else inquest.step) - series.n + 1
        grew = f"grew {number(series.factor)} times per step"
        yield f"{series.name.capitalize()} left its range at about step {max(0, begun)} and {grew}."
    if shadow is not None and shadow.ops and len(shadow.ops) > 1:
        yield f"The operands were made by {listed(list(dict.fromkeys(shadow.ops[-5:-1])))}."
