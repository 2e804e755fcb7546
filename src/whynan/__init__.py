"""whynan: where the first NaN of a PyTorch run was born, why, and which change cures it.

Importing this package imports neither torch nor rich; the names below are fetched when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .case.facts import Report as Report
    from .case.folder import Case as Case
    from .case.folder import read_case as read_case
    from .config import Config as Config
    from .errors import CaseError as CaseError
    from .errors import NonFiniteError as NonFiniteError
    from .errors import UsageError as UsageError
    from .errors import WhynanError as WhynanError
    from .library import guard as guard
    from .library import watch as watch
    from .preflight.check import check as check
    from .preflight.fuzz import Input as Input
    from .preflight.fuzz import fuzz as fuzz

__version__ = "0.1.0.dev0"

# public name -> the room that has it
_HOMES = {
    "Case": "whynan.case.folder",
    "CaseError": "whynan.errors",
    "Config": "whynan.config",
    "NonFiniteError": "whynan.errors",
    "Report": "whynan.case.facts",
    "UsageError": "whynan.errors",
    "WhynanError": "whynan.errors",
    "Input": "whynan.preflight.fuzz",
    "check": "whynan.preflight.check",
    "fuzz": "whynan.preflight.fuzz",
    "guard": "whynan.guard",
    "load_ipython_extension": "whynan.integrations.notebook",
    "read_case": "whynan.case.folder",
    "watch": "whynan.watch",
}

__all__ = [
    "__version__",
    "Case",
    "CaseError",
    "Config",
    "Input",
    "NonFiniteError",
    "Report",
    "UsageError",
    "WhynanError",
    "check",
    "fuzz",
    "guard",
    "read_case",
    "watch",
]


def __getattr__(name: str) -> Any:
    """The public name from its room, at first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'whynan' has no attribute {name!r}. It has: {', '.join(sorted(__all__))}.")
    from importlib import import_module

    home = import_module(_HOMES[name])
    value = home if _HOMES[name] == f"whynan.{name}" else getattr(home, name)  # a room that is called
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
