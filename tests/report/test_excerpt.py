"""Source excerpts: the exact expression, or nothing false."""

from __future__ import annotations

from pathlib import Path

from whynan.case.facts import Birth
from whynan.report.excerpt import Line, excerpt, window

SOURCE = """\
def loss(p):
    "ünï"; return torch.log(
        1 - p
    ).mean()

print(1)
"""


def birth(**facts) -> Birth:
    given = {"step": 1, "iteration": 1, "phase": "forward", "kind": "nan", "op": "aten::log"} | facts
    return Birth(**given)


def marked(lines: list[Line]) -> list[str]:
    return [line.text[slice(*line.mark)] for line in lines if line.mark]


def test_several_lines_and_utf8_columns(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text(SOURCE, encoding="utf-8")
    row = SOURCE.split("\n")[1]
    column = len(row[: row.index("torch")].encode())
    lines = excerpt(birth(file=str(file), line=2, end_line=4, column=column, end_column=5, source=row))
    assert [line.number for line in lines] == [1, 2, 3, 4, 5, 6]
    assert marked(lines) == ["torch.log(", "1 - p", ")"]
    assert [line.number for line in lines if line.guilty] == [2, 3, 4]


def test_a_changed_file_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text(SOURCE, encoding="utf-8")
    lines = excerpt(birth(file=str(file), line=1, source="def other(p):", column=4, end_column=9))
    assert [(line.text, line.mark) for line in lines] == [("def other(p):", (4, 9))]


def test_a_copy_is_preferred(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(SOURCE, encoding="utf-8")
    lines = excerpt(birth(file="/gone/x.py", line=1, source="def loss(p):"), (tmp_path,))
    assert len(lines) == 3


def test_a_recorded_line_without_its_indentation() -> None:
    lines = excerpt(birth(file="/gone.py", line=9, source="y = a / b", expression="a / b", column=12, end_column=17))
    assert marked(lines) == ["a / b"]


def test_nothing_known() -> None:
    assert excerpt(birth()) == []
    assert excerpt(birth(file="/gone.py", line=3)) == []


def test_a_line_beyond_the_end_and_binary_files(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_bytes(b"\xff\xfe")
    assert excerpt(birth(file=str(file), line=1)) == []
    file.write_text("x\n", encoding="utf-8")
    assert excerpt(birth(file=str(file), line=70)) == []


def test_window_keeps_the_mark() -> None:
    line = Line(number=1, text="x" * 100 + "GUILTY" + "y" * 100, mark=(100, 106), guilty=True)
    cut = window(line, 40)
    assert len(cut.text) == 40 and cut.mark is not None
    assert cut.text[slice(*cut.mark)] == "GUILTY"
    assert cut.text.startswith("...") and cut.text.endswith("...")
    whole = Line(number=1, text="short")
    assert window(whole, 40) is whole
    assert window(Line(number=1, text="z" * 50), 40).text == "z" * 37 + "..."
