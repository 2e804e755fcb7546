"""When early warnings judge: within their share, and at once where something leaves its level."""

from whynan.watch.budget import WARM_UP, WARNINGS
from whynan.watch.warnings.rest import PATIENCE, URGENT, URGENT_SHARE, Rest


def spent(rest: Rest, step_seconds: float, cost: float, steps: int, first: int = 0) -> int:
    """Turns in so many steps."""
    turns = 0
    for step in range(first, first + steps):
        if step >= rest.over:
            rest.done(cost, step * step_seconds + turns * cost, step)
            turns += 1
    return turns


def test_it_keeps_to_its_share() -> None:
    rest = Rest()
    turns = spent(rest, step_seconds=0.001, cost=0.0001, steps=20_000)
    wanted = 20_000 * 0.001 * WARNINGS / 0.0001
    assert 0.8 * wanted <= turns <= 1.2 * wanted + WARM_UP + 60  # some more in the beginning
    cheap = Rest()
    assert spent(cheap, step_seconds=1.0, cost=0.0001, steps=100) == 100


def test_it_never_waits_for_too_long() -> None:
    rest = Rest()
    spent(rest, step_seconds=0.00001, cost=0.01, steps=20_000)
    assert rest.over - 20_000 <= PATIENCE
    young = Rest()
    spent(young, step_seconds=0.00001, cost=0.01, steps=40)
    assert young.over <= 40 + 4 + 40 // 8


def test_what_grows_is_judged_at_every_step_but_not_all_the_time() -> None:
    rest = Rest()
    spent(rest, step_seconds=0.001, cost=0.001, steps=5_000)
    now = 5_000 * 0.001
    rest.hurry(now, 5_000)
    assert spent(rest, 0.001, 0.001, URGENT, first=5_000) == URGENT
    rest.hurry(now + 0.01, 5_010)
    assert rest.over > 5_010  # there was such a time just before
    rest.hurry(now + URGENT * 0.001 / URGENT_SHARE + 1.0, 9_000)
    assert rest.over <= 9_000
