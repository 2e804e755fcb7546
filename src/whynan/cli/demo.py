"""The tour: a small transformer that trains well for a while, dies, and is explained.

The example is copied to whynan-demo/train.py first, so that it can be read, patched and run by hand.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import InternalError, UsageError

NAME = "demo"
HELP = "the tour, on a shipped example"

PLACE = Path("whynan-demo") / "train.py"


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """No options: the demo is `whynan run whynan-demo/train.py`."""


def run(options: argparse.Namespace) -> int:
    """Put the example here and run it; status 3 is what should come out."""
    text = example()
    try:
        PLACE.parent.mkdir(exist_ok=True)
        if not PLACE.exists():
            PLACE.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{PLACE} cannot be written here: {error.strerror}. Try another folder.") from None
    print(f"whynan: this is `whynan run {PLACE}`; watch the loss.", file=sys.stderr, flush=True)
    from . import run as run_command

    options.rest = [str(PLACE)]
    return run_command.run(options)


def example() -> str:
    """The source of the example: in a wheel beside the package's data, in a checkout in examples/."""
    from importlib import resources

    shipped = resources.files("whynan") / "data" / "demo_train.py"
    if shipped.is_file():
        return shipped.read_text(encoding="utf-8")
    checkout = Path(__file__).parents[3] / "examples" / "demo" / "train.py"
    if checkout.is_file():
        return checkout.read_text(encoding="utf-8")
    raise InternalError("The example of the demo was not installed.")
