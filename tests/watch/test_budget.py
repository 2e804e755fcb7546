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
    noise = [level.jumps(2.0 + generator.gauss(0, 0.1)) for _ in range(500)]
    assert sum(noise[20:]) <= 1
    assert level.jumps(5.0)
    assert level.jumps(math.nan) and level.jumps(-math.inf)
    assert not level.jumps(2.0)
