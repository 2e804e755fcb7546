"""What the source of a loop says about the order of its calls."""

from __future__ import annotations

import textwrap

from whynan.diagnose import Inquest
from whynan.diagnose.measurements.usercode import UserCode, usercode


def read(tmp_path, source) -> UserCode:
    file = tmp_path / "train.py"
    file.write_text(textwrap.dedent(source))
    found = usercode(Inquest(files=(str(file),)))
    assert found is not None
    return found


def test_clip_after_step(tmp_path):
    code = read(
        tmp_path,
        """
        for x in loader:
            optimizer.zero_grad()
            model(x).sum().backward()
            optimizer.step()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        """,
    )
    assert code.clip_after_step == (6, 5)
    assert not code.never_zeroed


def test_clip_in_its_place(tmp_path):
    code = read(
        tmp_path,
        """
        def step(x):
            loss = model(x).sum()
            loss.backward()
            clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        """,
    )
    assert code.clip_after_step is None
    assert code.lines("step") == [6]


def test_gradients_that_nobody_clears(tmp_path):
    body = "for x in loader:\n    model(x).sum().backward()\n    optimizer.step()\n"
    assert read(tmp_path, body).never_zeroed
    assert not read(tmp_path, body + "    for p in model.parameters(): p.grad = None\n").never_zeroed


def test_scaler_without_unscale(tmp_path):
    clipped = read(
        tmp_path,
        """
        for x in loader:
            scaler.scale(model(x).sum()).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
        """,
    )
    assert clipped.clip_before_unscale == 4
    plain = read(tmp_path, "scaler.scale(loss).backward()\noptimizer.step()\n")
    assert plain.scaled_but_plain_step == 2


def test_accumulation_and_sums(tmp_path):
    code = read(
        tmp_path,
        """
        for i, x in enumerate(loader):
            model(x).sum().backward()
            if (i + 1) % 8 == 0:
                optimizer.step()
                optimizer.zero_grad()
        """,
    )
    assert code.conditional and code.sums and not code.divides


def test_memory_that_is_allocated_and_not_filled(tmp_path):
    code = read(
        tmp_path,
        """
        a = torch.empty(3, 4)
        b = torch.empty(3).uniform_(-1, 1)
        c = torch.empty(2, 2)
        nn.init.xavier_uniform_(c)
        d = torch.tensor([1.0])
        """,
    )
    assert [call.line for call in code.allocations] == [2]


def test_a_file_that_cannot_be_read_gives_nothing(tmp_path):
    (tmp_path / "broken.py").write_text("for x in\n")
    assert usercode(Inquest(files=(str(tmp_path / "broken.py"), "/nowhere.py"))) is None
