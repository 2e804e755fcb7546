"""What a loop was fed: counters are only noted, and become full entries when somebody asks."""

import torch

from whynan.watch.randomness import UNTOUCHED
from whynan.watch.tape import Tape


def test_a_counter_becomes_an_entry_when_it_is_asked_for() -> None:
    tape = Tape()
    tape.noted[3] = 30, 2
    assert 3 in tape and len(tape) == 1 and list(tape) == [3]
    taped = tape.get(3)
    assert taped is not None and (taped.item, taped.steps, taped.nexts) == (30, 2, [])
    taped.nexts.append((1, None, UNTOUCHED))
    assert tape.get(3) is taped and not tape.noted and tape.values() == [taped]


def test_order_and_gaps() -> None:
    tape = Tape()
    tape.put(1, torch.zeros(3), UNTOUCHED, None, 1, copy=False)
    tape.noted |= {0: (0, 0), 2: (2, 2), 4: (4, 2)}
    assert list(tape) == [0, 1, 2, 4] and tape.fed == 12
    assert tape.covers(0, 2) and not tape.covers(2, 4)
    assert tape.latest_with(1) == 1 and tape.latest_with(2) == 4 and Tape().latest_with(5) is None
    tape.drop_before(2)
    assert list(tape) == [2, 4] and tape.get(1) is None


def test_what_comes_with_several_items_is_shared_until_the_last_is_dropped() -> None:
    tape, known = Tape(), {"a": 1}
    first = tape.put(0, [known], UNTOUCHED, None, 0, copy=False)
    second = tape.put(1, [known], UNTOUCHED, None, 0, copy=False)
    known["a"] = 2
    second.held.put_back()
    assert known == {"a": 2}  # state of the program, which the re-execution itself rebuilds
    first.held.put_back()
    assert known == {"a": 1}
    tape.drop(0), tape.drop(1)
    assert len(tape) == 0 and tape.put(2, [known], UNTOUCHED, None, 0, copy=False).held.containers
