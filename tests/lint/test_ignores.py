"""Comments that switch rules off."""

from __future__ import annotations

import pytest

from whynan.lint import lint_text

LOSS = "import torch\n\ndef loss(z):\n    return torch.log(torch.softmax(z, -1)){comment}\n"


def found(comment: str = "", head: str = "") -> list[str]:
    return [f.code for f in lint_text(head + LOSS.format(comment=comment))]


@pytest.mark.parametrize(
    "comment",
    [
        "  # whynan: ignore",
        "  # whynan: ignore[WN102]",
        "  # whynan:ignore[wn102, WN101] the teacher's logits are small",
        "  # whynan: ignore[log-of-softmax]",
        "  # noqa  # whynan: ignore[WN102]",
    ],
)
def test_ignored(comment: str) -> None:
    assert found(comment) == []


@pytest.mark.parametrize("comment", ["", "  # whynan: ignore[WN101]", "  # noqa", "  # whynan: ignore[]", "  # ignore"])
def test_not_ignored(comment: str) -> None:
    assert found(comment) == ["WN102"]


@pytest.mark.parametrize("head", ["# whynan: ignore-file\n", "# whynan: ignore-file[WN102]\n"])
def test_file_ignored(head: str) -> None:
    assert found(head=head) == []


def test_other_rule_of_file_ignored() -> None:
    assert found(head="# whynan: ignore-file[WN101]\n") == ["WN102"]


def test_comment_on_any_line_of_the_expression() -> None:
    call = "torch.log(\n        torch.softmax(z, -1)  # whynan: ignore[WN102]\n    )"
    text = f"import torch\n\ndef loss(z):\n    return {call}\n"
    assert lint_text(text) == []


def test_comment_on_another_line_does_not_count() -> None:
    assert [f.code for f in lint_text("# whynan: ignore[WN102]\n" + LOSS.format(comment=""))] == ["WN102"]
