"""Search a loss or a layer for finite inputs that make its value or its gradient non-finite.

    whynan fuzz losses.py:focal_loss
    whynan fuzz mylib.layers:RMSNorm --dtype float16,bfloat16
    whynan fuzz losses.py:kl --input "p=float[B,4] in simplex" --input "q=float[B,4] in simplex"

Arguments, shapes and ranges are found out by trying where they are not said. Exit status: 0 nothing found, 3 found,
2 a usage error.
"""

from __future__ import annotations

import argparse
import os
import sys

from ..errors import UsageError

NAME = "fuzz"
HELP = "search a loss or a layer for finite inputs that break it"
FOUND = 3


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """Declare TARGET and the options."""
    parser.add_argument("target", metavar="MODULE:CALLABLE", help="or FILE.py:CALLABLE; a function or an nn.Module")
    add = parser.add_argument
    add("--input", action="append", default=[], metavar="NAME=SPEC", help="e.g. 'logits=float32[2,3] in [-10,10]'")
    add("--range", metavar="LOW,HIGH", help="range of every floating argument (default -100,100, or as found out)")
    add("--dtype", default="float32", metavar="D,D", help="float32, float64, float16, bfloat16 (default float32)")
    add("--example", metavar="FILE", help="arguments saved by torch.save, a dict or a tuple: gives the shapes")
    add("--seed", type=int, default=0, help="another seed, other inputs (default 0)")
    add("--time", type=float, default=20.0, metavar="S", help="seconds for all (default 20)")
    add("--jobs", type=int, default=1, metavar="N", help="processes; 0 for one per core (default 1)")
    add("--json", metavar="FILE", help="write the report as JSON; - for stdout")
    add("--no-gradient", dest="gradient", action="store_false", help="look at values only")
    add("--no-accuracy", dest="accuracy", action="store_false", help="do not compare with float64")
    add("--no-fixes", dest="fixes", action="store_false", help="try no patches")
    add("--quiet", action="store_true", help="print one line only")


def run(options: argparse.Namespace) -> int:
    """Search, print on stdout, and say by the exit status whether something was found."""
    if options.jobs < 0:
        raise UsageError(f"--jobs {options.jobs} is no number of processes: 1 or more, or 0 for one per core.")
    from ..preflight.fuzz.api import fuzz
    from ..preflight.fuzz.inputs import parse_option, parse_range
    from ..preflight.fuzz.target import load, load_example
    from ..preflight.fuzz.text import headline, render

    inputs = dict(parse_option(text) for text in options.input)
    span = parse_range(options.range) if options.range else None
    target = load(options.target)
    example = load_example(options.example, target) if options.example else None
    terminal = sys.stderr.isatty()
    report = fuzz(
        options.target,
        inputs=inputs,
        range=span,
        dtype=[d.strip() for d in options.dtype.split(",") if d.strip()],
        seed=options.seed,
        seconds=options.time,
        jobs=options.jobs or os.cpu_count() or 1,
        gradient=options.gradient,
        accuracy=options.accuracy,
        fixes=options.fixes,
        example=example,
        progress=_show if terminal else None,
    )
    if terminal:
        sys.stderr.write("\r\x1b[K")
    if options.json != "-":
        sys.stdout.write(headline(report) + "\n" if options.quiet else render(report))
    if options.json:
        _write(options.json, report.to_dict())
    return FOUND if report else 0


def _show(words: str, part: float) -> None:
    sys.stderr.write(f"\r\x1b[K{part:4.0%} {words}")
    sys.stderr.flush()


def _write(place: str, data: dict) -> None:
    from ..case.strict_json import dumps

    text = dumps(data, indent=1) + "\n"
    if place == "-":
        sys.stdout.write(text)
        return
    try:
        with open(place, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"--json {place}: it cannot be written: {error.strerror}.") from error
