"""Run a script under the watch, try its remedies in its own loop, write what happened: `live_driver.py OUT SCRIPT`."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from whynan.case.facts import Report, Run
from whynan.config import Config
from whynan.session import Session, Target

OUT, SCRIPT = Path(sys.argv[1]), Path(sys.argv[2])


class Trying(Session):
    """A session that stops after the live trials."""

    def investigate(self, run, attempts):
        from whynan.diagnose import Inquest
        from whynan.diagnose.engine import diagnose
        from whynan.remedy.live import live_trials
        from whynan.remedy.plan import candidates
        from whynan.remedy.trials import Script
        from whynan.replay.locate import locate

        watcher = self.watcher
        seen = watcher.pending[1]
        located = yield from locate(run, seen, watcher)
        inquest = Inquest.of(located, watcher, self.config)
        diagnosis = yield from diagnose(inquest)
        report = Report(verdict="nonfinite", run=Run(script=SCRIPT.name), birth=located.birth, causes=diagnosis.causes)
        found = candidates(report, Script(SCRIPT, (), SCRIPT.parent))
        live = yield from live_trials(inquest, diagnosis, report, found, budget=60.0)
        patches = [
            {"class": c.class_, "after": c.after, **dataclasses.asdict(t), "unchanged": t.unchanged,
             "lasting": t.lasting, "hopeless": t.hopeless}
            for c in found if (t := live.patches.get(c.patch)) is not None
        ]  # fmt: skip
        experiments = {n: dataclasses.asdict(t) | {"lasting": t.lasting} for n, t in live.experiments.items()}
        OUT.write_text(json.dumps({"patches": patches, "experiments": experiments, "errors": inquest.errors}))
        watcher.muted, watcher.pending = True, None
        return True


Trying(Target("script", str(SCRIPT), []), Config(case=False, quiet=True, rerun=False)).run()
