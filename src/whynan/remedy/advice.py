"""What to do by hand where no patch of the program can cure: the data, a checkpoint, the machine.

Advice is concrete: which rows and columns, which samples of the data set, which lines of which file, which rank and
device, and the command to run next.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from whynan.case.facts import Birth, Remedy, Report
from whynan.remedy.datafiles import BadFile, bad_files
from whynan.remedy.mirror import Script
from whynan.remedy.source import Source

DATA = ("bad-input", "input-scale")
LIMITS = {"float32": 3.4028235e38, "float16": 65504.0, "bfloat16": 3.3895314e38}
FILES = 3  # bad places that are listed


def advise(report: Report, script: Script, sources: list[Source]) -> list[Remedy]:
    """Remedies without a patch, for the first cause of the report and for files that turn out to be damaged."""
    cause = report.causes[0].class_ if report.causes else None
    birth = report.birth
    if cause == "nondeterministic-fault":
        return [_remedy("other", "find out what is not reproducible", _machine(report, script))]
    entered = birth is not None and (birth.phase == "data" or birth.phase == "init" or birth.op is None)
    if birth is None or not (cause in DATA or entered):
        return []
    if (text := _too_wide(birth)) is not None:
        return [_remedy("normalize-inputs", "bring the values to another unit", text)]
    files = bad_files(script, sources)
    out = []
    checkpoints = [f for f in files if f.checkpoint]
    if checkpoints and birth.phase != "data":
        out.append(_remedy("other", "load another checkpoint", _checkpoint(checkpoints)))
    tables = [f for f in files if not f.checkpoint]
    if cause in DATA or birth.phase == "data":
        text = " ".join(_data(birth, tables))
        if text:
            out.append(_remedy("impute-inputs", "mend the data", text))
    return out


def _remedy(class_: str, title: str, advice: str) -> Remedy:
    return Remedy(class_=class_, title=title, safety="display-only", advice=advice)


def _too_wide(birth: Birth) -> str | None:
    """Numbers that are finite until they become a narrower type, which then is no matter of a wrong value."""
    given, made = next(iter(birth.inputs), None), next(iter(birth.outputs), None)
    if given is None or made is None or given.nonfinite or given.absmax is None:
        return None
    limit = LIMITS.get(made.dtype.removeprefix("torch."))
    if limit is None or given.dtype == made.dtype or given.absmax <= limit:
        return None
    return (
        f"The numbers go up to {given.absmax:.2g}, and {made.dtype.removeprefix('torch.')} ends at {limit:.2g}. Divide "
        "them by a unit of their size, or take their logarithm, before they are converted; do the same wherever they "
        "are used."
    )


def _data(birth: Birth, files: list[BadFile]) -> Iterator[str]:
    if birth.tensor or birth.rows or birth.note:
        what = f"`{birth.tensor}`" if birth.tensor and " " not in birth.tensor else birth.tensor or "the batch"
        rows = ", ".join(map(str, birth.rows[:8])) + (", ..." if len(birth.rows) > 8 else "")
        count = f"{birth.elements.count} of {birth.elements.total} values" if birth.elements is not None else "values"
        where = f" in row{'s' if len(birth.rows) > 1 else ''} {rows}" if birth.rows else ""
        batch = f"In the batch of iteration {birth.iteration}, " if birth.phase == "data" else ""
        yield f"{batch}{count} of {what} are not finite{where}."
        if birth.note:
            yield f"That is: {birth.note}."
    yield from _files(files)


def _files(files: list[BadFile]) -> Iterator[str]:
    for file in files[:FILES]:
        yield f"In {file.path}, {file.words}."
    if len(files) > FILES:
        yield f"There are {len(files) - FILES} more such places."
    if files:
        yield f"Look at the first with: {files[0].look}"


def _checkpoint(files: list[BadFile]) -> str:
    text = "The weights were not finite when they were saved, so no change of the program brings them back. "
    return text + " ".join(_files(files)) + " Go on from an earlier checkpoint that passes the same look."


def _machine(report: Report, script: Script) -> str:
    run = report.run
    place = f"rank {run.rank} of {run.world_size}, " if run.world_size > 1 else ""
    target = f"-m {script.module}" if script.module else run.script
    again = shlex.join(["whynan", "run", *target.split(" ", 1), *run.argv])
    words = [
        f"The failure was seen on {place}device {run.device or 'cpu'}; the same step with the same numbers was finite.",
        f"Run it again, on one thread: OMP_NUM_THREADS=1 {again}.",
        "If it comes back at another step, look for work that nobody waits for (threads, non_blocking copies, side "
        "streams) and for torch.empty.",
    ]
    if (run.device or "").startswith("cuda"):
        program = shlex.join([*target.split(" ", 1), *run.argv])
        words += [
            "If it comes back on this device only, ask it for memory errors: nvidia-smi -q -d ECC,PAGE_RETIREMENT;",
            f"then look for races: compute-sanitizer --tool racecheck python {program}.",
        ]
    else:
        words.append("If it comes back on this machine only, test its memory (memtester, or the firmware's own test).")
    return " ".join(words)
