"""The always-on part. The room itself can be called: `for batch in whynan.watch(loader)`, see `whynan.library`."""

from ..callable import make_callable

make_callable(__name__)
