"""Execute the recorded computation of a case on this machine: is the bad value born here as well?

The case holds the ops of PyTorch that led to it and the numbers they began with. They are executed again, without the
script and without its packages, and every op is compared with what was seen when the case was recorded.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CaseError
from .cases import add_folder_option, folder_of

if TYPE_CHECKING:
    from ..replay.again import Verdict

NAME = "replay"
HELP = "is the bad value of a case born on this machine too?"
CONFIRMED, NOT_REPRODUCED = 3, 0


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """CASE."""
    parser.add_argument("case", metavar="CASE", help="a case folder, the beginning of its name, or `last`")
    add_folder_option(parser)
    parser.epilog = "exit status: 3 the value was born again; 0 it was not; 2 the case cannot be replayed"


def run(options: argparse.Namespace) -> int:
    """Print the verdict on stdout."""
    from ..case import shelf

    place = shelf.find(options.case, folder_of(options))
    shelf.read_case(place)  # a folder that is no case is told before torch is imported
    folder = tensors_of(place)
    from ..replay.again import check_found, replay
    from ..replay.slicefile import read_program

    program = read_program(folder)
    check_found(program)
    verdict = replay(program)
    print("\n".join(_told(verdict)))
    return CONFIRMED if verdict.born else NOT_REPRODUCED


def tensors_of(place: Path) -> Path:
    """The tensors of a case that holds a slice. CaseError says why another one holds none."""
    from ..case.contents import TENSORS, absent_from

    folder = place / TENSORS
    if not place.is_dir():
        raise CaseError(f"{place} is a report alone; this needs the case folder with its tensors.")
    if not (folder / "slice.json").is_file():
        why = [what for what in absent_from(place) if what.startswith("the slice")]
        raise CaseError(f"{place} holds no recorded computation: {why[0] if why else 'its tensors were removed.'}")
    return folder


def _told(verdict: Verdict) -> list[str]:
    op, kind = verdict.op, {"nan": "NaN", "inf": "Inf"}[verdict.kind]
    lines = [f"altered since it was recorded: {what}" for what in verdict.altered]
    if verdict.refused is not None:
        lines.append(f"Not reproduced: {verdict.refused}.")
    elif verdict.born:
        elements = ", ".join(str(list(index)) for index in verdict.elements[:3])
        more = " ..." if len(verdict.elements) > 3 else ""
        inputs = "same inputs bit for bit" if verdict.same_inputs else "from inputs that are not the same bits"
        where = f", element {elements}{more}" if any(verdict.elements) else ""
        lines.append(f"Confirmed: {kind} is born again in {op.place}{where}; {inputs}.")
    else:
        lines.append(f"Not reproduced: {op.place} gives no {kind} where it did.")
    lines.append(f"{verdict.ops} ops executed, {verdict.compared} values compared.")
    if verdict.first is not None:
        position, first, how = verdict.first
        lines.append(f"The first that differs is op {position}, {first.place}: {how}.")
    elif verdict.compared and not verdict.altered:
        lines.append("Every value is the same, bit for bit.")
    if not verdict.born and verdict.alone:
        lines.append(f"{op.name} itself still fails with the inputs that were recorded: what led to them differs here.")
    elif not verdict.born and verdict.alone is False:
        lines.append(f"{op.name} does not fail with the inputs that were recorded: it is another one here.")
    if not verdict.born or verdict.first is not None:
        lines += [f"  {what}" for what in verdict.settings]
        if verdict.first is not None and not verdict.settings and not verdict.altered:
            lines.append("Versions and settings are the same: the machine, or its libraries, compute differently.")
    return lines
