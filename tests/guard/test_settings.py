import pytest

from whynan.errors import UsageError
from whynan.guard.settings import Settings, method, parse


def test_words() -> None:
    assert parse("") == Settings() and not parse("").acts
    assert parse("skip, clip , rollback") == Settings(skip=True, clip="percentile:95", rollback=10)
    assert parse("clip=zscore:2.5,rate=0.5,rollback=3,precision=7,cap=2,row=1") == Settings(
        clip="zscore:2.5", rate=0.5, rollback=3, precision=7, cap=2, row=1
    )
    assert parse("skip=false") == Settings()


@pytest.mark.parametrize(
    "words, says",
    [
        ("skipp", "Valid words"),
        ("cap", "Valid words"),
        ("clip=percentile:0", "percentile:95"),
        ("clip=median:3", "percentile:95"),
        ("clip=norm:nan", "percentile:95"),
        ("rollback=-1", "from 0 up"),
        ("rollback=x", "number"),
        ("rate=0", "above 0"),
        ("rate=1.5", "above 0"),
        ("skip=perhaps", "true and false"),
    ],
)
def test_what_cannot_be_meant(words: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse(words)


def test_method() -> None:
    assert method("norm:1e3") == ("norm", 1000.0)
