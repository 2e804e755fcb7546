"""Write a small stand-alone script that reproduces the birth of a case from the recorded values.

It needs nothing but torch, and was run before it is printed: what one would paste into a bug report.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import UsageError
from .cases import add_folder_option, folder_of

NAME = "shrink"
HELP = "write a small script that reproduces the birth of a case"


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """CASE, where the script goes, how much of the way to the birth it keeps."""
    parser.add_argument("case", metavar="CASE", help="a case folder, the beginning of its name, or `last`")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the script there instead of on stdout")
    parser.add_argument("--ops", metavar="N", type=int, default=0, help="keep up to N ops before the birth (default 0)")
    parser.add_argument("--seconds", metavar="S", type=float, default=20.0, help="time for reducing (default 20)")
    add_folder_option(parser)


def run(options: argparse.Namespace) -> int:
    """Print the script, or write it. Status 0: it was run and reproduces the birth."""
    from ..case import shelf
    from .replay import tensors_of

    place = shelf.find(options.case, folder_of(options))
    shelf.read_case(place)
    folder = tensors_of(place)
    from ..replay.again import check_found
    from ..replay.shrinking import shrink
    from ..replay.slicefile import read_program

    program = read_program(folder)
    check_found(program)
    text = shrink(program, context=max(options.ops, 0), seconds=options.seconds, title=place.resolve().name)
    if options.output is None:
        sys.stdout.write(text)
        return 0
    try:
        Path(options.output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{options.output} cannot be written: {error.strerror}.") from None
    print(f"whynan: wrote {options.output}; it was run and reproduces the birth", file=sys.stderr)
    return 0
