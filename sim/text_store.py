"""Texts that take long to make, kept on disk."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

__all__ = ["TextStore"]


@dataclasses.dataclass(frozen=True)
class TextStore:
    """Folder of texts, each under a name that says all that it depends on.

    Processes may share it: a text appears whole or not at all.
    """

    #: Folder, made with the first text.
    folder: Path
    #: End of the files' names.
    suffix: str
    #: Texts that the store keeps, the youngest ones.
    kept: int = 2000

    def text(self, name: str, make: Callable[[], str]) -> str:
        """Return the text of a name; if it is not there, ``make`` makes it."""
        path = self.folder / f"{name}{self.suffix}"
        try:
            return path.read_text(encoding="utf-8")
        except OSError:
            text = make()
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=self.folder, delete=False,
                                         encoding="utf-8") as file:
            file.write(text)
        os.replace(file.name, path)
        for old in sorted(self.folder.glob(f"*{self.suffix}"), key=_age)[:-self.kept]:
            old.unlink(missing_ok=True)
        return text


def _age(path):
    try:
        return path.stat().st_mtime
    except OSError:
        # Another process removed it.
        return 0.0
