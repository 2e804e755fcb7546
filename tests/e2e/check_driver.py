"""Runs `whynan check` for many programs, each in a fork of a process that has imported torch: `check_driver.py FOLDER`.

FOLDER/NAME/arguments.json is the command line; out.txt, err.txt and status.txt are written beside it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import torch  # noqa: F401
import torch._dynamo  # the first optimizer would import it
import torch.utils.data  # noqa: F401

import whynan.checking  # noqa: F401
import whynan.preflight.epoch
import whynan.preflight.together
import whynan.replay.scope
import whynan.report.preflight  # noqa: F401
from whynan.lint import all_rules

PATIENCE = 120.0  # seconds for one program


def check(folder: Path) -> None:
    """In the child: the command line of one program, in its folder."""
    os.chdir(folder)
    for descriptor, name in ((1, "out.txt"), (2, "err.txt")):
        file = os.open(name, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, descriptor)
        os.close(file)  # a file that the program holds open is looked after in every step that is executed again
    from whynan.cli.main import main

    status = main(json.loads(Path("arguments.json").read_text()))
    sys.stdout.flush()
    Path("status.txt").write_text(str(status))


def run(folder: Path) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            check(folder)
        finally:
            os._exit(0)
    end = time.monotonic() + PATIENCE
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        time.sleep(0.02)
        if time.monotonic() > end:
            os.kill(pid, 9)


all_rules()
for arguments in sorted(Path(sys.argv[1]).glob("*/arguments.json")):
    run(arguments.parent)
