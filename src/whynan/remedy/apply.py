"""Writing a verified patch into the user's file, when the user asked for it (`--apply`) and only then."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from whynan.errors import WhynanError
from whynan.remedy.edits import PatchError, apply_patch, patched_path, read_text


def apply_to_tree(patch: str, folder: Path, since: float) -> Path:
    """Apply `patch` (a unified diff, paths relative to `folder`) and return the file that was changed.

    `since`: when the program was started, seconds since the epoch. WhynanError, with nothing written, if the file was
    changed after that or does not fit the patch any more. Encoding, line ends and permissions stay as they are.
    """
    path = (folder / patched_path(patch)).resolve()  # a link stays a link, what it points to is changed
    try:
        status = path.stat()
        before, encoding = read_text(path)
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise WhynanError(f"The patch was not applied: {path} cannot be read ({error}).") from error
    if status.st_mtime > since:
        raise WhynanError(
            f"The patch was not applied: {path} was changed while the program ran. The patch is in the report."
        )
    try:
        after = apply_patch(before, patch)
    except PatchError as error:
        raise WhynanError(f"The patch was not applied: {path} does not fit it ({error}).") from error
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(after.encode(encoding))
    os.chmod(part, status.st_mode & 0o7777)
    os.replace(part, path)
    return path
