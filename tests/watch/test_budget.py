"""What costs time is done so rarely that it keeps to its share; what is cheap is done always."""

import math
import random

from whynan.watch.budget import WARM_UP, Level, Pace


def spent(pace: Pace, *, cost: float, step: float, steps: int) -> tuple[float, int]:
    """(share of the time that the turns took after the warm-up, number of turns) in a simulated run."""
    now, taken, turns = 0.0, 0.0, 0
    for i in range(steps):
        now += step
        if pace.due():
            now += cost
            pace.done(cost, now)
            turns += 1
            taken += cost if i >= WARM_UP else 0.0
    return taken / now, turns


def test_share_is_kept() -> None:
    share, turns = spent(Pace(0.005, 64), cost=0.001, step=0.01, steps=5000)
    assert 0.5 * 0.005 < share <= 1.2 * 0.005
    assert turns < 5000 / 8


def test_what_is_cheap_is_done_always() -> None:
    pace = Pace(0.005, 64)
    _, turns = spent(pace, cost=1e-5, step=0.01, steps=100)
    assert turns == 100 and pace.always


def test_rarest() -> None:
    _, turns = spent(Pace(0.005, 64), cost=1.0, step=0.001, steps=WARM_UP + 640)
    assert turns == WARM_UP + 10


def test_suspicion_makes_every_step_a_turn_for_a_while_and_not_for_ever() -> None:
    pace = Pace(0.005, 64)
    spent(pace, cost=0.001, step=0.01, steps=2000)
    assert not pace.always
    pace.hurry(8)
    _, turns = spent(pace, cost=0.001, step=0.01, steps=9)
    assert turns >= 8
    before = turns
    for _ in range(20):
        pace.hurry(8)  # a loss that jumps all the time
    _, turns = spent(pace, cost=0.001, step=0.01, steps=9)
    assert turns < before


def test_level_knows_a_jump_from_noise() -> None:
    level, generator = Level(), random.Random(0)
    noise = [level.take(2.0 + generator.gauss(0, 0.1))[0] for _ in range(500)]
    assert sum(noise[20:]) <= 1
    assert level.take(5.0) == (True, True)
    assert level.take(math.nan)[0] and level.take(-math.inf)[0]
    assert level.take(2.0) == (False, False)


def test_what_waits_becomes_part_of_the_level_like_everything_else() -> None:
    at_once, later, generator = Level(), Level(), random.Random(0)
    for _ in range(100):
        value = 2.0 + generator.gauss(0, 0.1)
        at_once.take(value)
        if later.low <= value <= later.high and len(later.waiting) < Level.BATCH:
            later.waiting.append(value)
        else:
            later.take(value)
    for value in later.waiting[:-1]:
        assert later.low <= value <= later.high
    later.take(2.0), at_once.take(2.0)
    assert (later.mean, later.spread, later.seen) == (at_once.mean, at_once.spread, at_once.seen)


def test_a_loss_far_above_its_level_is_not_yet_a_jump() -> None:
    level = Level()
    for i in range(100):
        level.take(1.0 + 0.1 * (-1) ** i)
    assert level.take(1.6) == (False, True)
    assert level.take(0.4) == (False, False)
