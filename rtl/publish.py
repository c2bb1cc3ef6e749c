"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import pathlib
import tempfile
from collections.abc import Mapping

__all__ = ["make_folder", "publish"]

# What a message says of a folder that can not be made.
IN_PLACE = "A file is in place of the folder"


def publish(folder: pathlib.Path, files: Mapping[str, str | bytes]) -> None:
    """Write files into a folder, which appears whole; one that is there keeps its other files.

    None of the files is there before all of them are complete.

    Raises
    ------
    OSError
        If they can not be written; it names the folder, or what is in its place.
    """
    try:
        _write(folder, files)
    except OSError as error:
        # A full disk is told of without a name, and by renaming that of a temporary file.
        if error.filename is not None and error.filename2 is None:
            raise
        raise OSError(error.errno, error.strerror, error.filename2 or str(folder)) from None


def _write(folder: pathlib.Path, files: Mapping[str, str | bytes]) -> None:
    make_folder(folder.parent)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, IN_PLACE, str(folder))
    # Inside a folder that is there: what is above it may be on another disk, or not to be written.
    place = folder if folder.is_dir() else folder.parent
    with tempfile.TemporaryDirectory(dir=place, prefix=".publish-") as temporary:
        staged = pathlib.Path(temporary) / "complete"
        staged.mkdir()
        for name, content in files.items():
            if isinstance(content, bytes):
                (staged / name).write_bytes(content)
            else:
                (staged / name).write_text(content, encoding="utf-8")
        if folder.is_dir():
            for name in files:
                os.replace(staged / name, folder / name)
        else:
            os.rename(staged, folder)


def make_folder(folder: pathlib.Path) -> None:
    """Make a folder, and those above it; the error names what is in its place."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, IN_PLACE, str(folder)) from None
