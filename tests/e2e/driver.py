"""Run a script with its loops rewritten and nobody watching: `driver.py [-m] NAME ARGV...`."""

from __future__ import annotations

import sys

from whynan.watch import inert
from whynan.watch.script import die_by_sigint, run_module, run_script

inert.install()
arguments = sys.argv[1:]
if arguments[0] == "-m":
    outcome = run_module(arguments[1], arguments[2:], rewrite=True)
else:
    outcome = run_script(arguments[0], arguments[1:], rewrite=True)
outcome.print_traceback()
if isinstance(outcome.exception, KeyboardInterrupt):
    die_by_sigint()
sys.exit(outcome.status)
