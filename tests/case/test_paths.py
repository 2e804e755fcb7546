from pathlib import Path

from whynan.case.facts import Birth, PathStep, Report, Run, Site
from whynan.case.paths import relative_to


def test_only_what_lies_beneath_becomes_relative(tmp_path: Path) -> None:
    inside, outside = str(tmp_path / "pkg" / "model.py"), "/elsewhere/lib.py"
    birth = Birth(
        step=0, iteration=0, phase="forward", kind="nan", op="aten::log", file=inside,
        stack=(Site(file=outside, line=1), Site(file=inside, line=2)),
    )  # fmt: skip
    report = Report(
        verdict="nonfinite",
        run=Run(script="x"),
        birth=birth,
        path=(PathStep(op="aten::log", state="born", file=inside),),
    )
    short = relative_to(report, str(tmp_path))
    assert short.birth is not None
    assert short.birth.file == "pkg/model.py"
    assert [s.file for s in short.birth.stack] == [outside, "pkg/model.py"]
    assert short.path[0].file == "pkg/model.py"
