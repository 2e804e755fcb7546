"""Writing a fixed text back: all or nothing, with the permissions of the file, never over somebody else's change."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from whynan.errors import WhynanError


def write_back(path: str, before: str, after: str) -> bool:
    """Replace the file's text `before` by `after`. False, with nothing written, where the file has changed meanwhile.

    A symbolic link stays one: the file it leads to is replaced. WhynanError where the file cannot be written.
    """
    place = Path(path).resolve()
    try:
        if place.read_bytes() != before.encode("utf-8"):
            return False
        mode = place.stat().st_mode & 0o7777
        handle, part = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(after.encode("utf-8"))
        os.chmod(part, mode)
        os.replace(part, place)
    except OSError as error:
        raise WhynanError(f"{path} was not fixed: it cannot be written ({error.strerror}).") from None
    return True
