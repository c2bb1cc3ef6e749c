"""Files: real data read, outputs written."""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import BinaryIO

from ..data.real import data_file
from .errors import AccuracyError

__all__ = ["positive", "read_lines", "read_text", "replacing", "spread"]

def read_text(name: str) -> str:
    """Return the text of a data file."""
    path = data_file(name)
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise AccuracyError(f"File {str(path)!r} can not be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise AccuracyError(f"File {str(path)!r} must be UTF-8 text: {error.reason}") from None


def read_lines(name: str, fields: int) -> list[list[str]]:
    """Return the fields, tab-separated, of each line that is not empty: ``fields`` or more."""
    lines = [line.split("\t") for line in read_text(name).split("\n") if line]
    for number, line in enumerate(lines, start=1):
        if len(line) < fields:
            raise AccuracyError(f"File {str(data_file(name))!r}, line {number}, must have {fields} "
                                f"fields, not {len(line)}")
    return lines


def spread(items: list, count: int | None) -> list:
    """Return ``count`` items at even distances; all of them for None, or if they are fewer."""
    if count is None or count >= len(items):
        return items
    return [items[n * len(items) // count] for n in range(count)]


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of ``path`` once it is complete, and only then."""
    if path.is_dir():
        raise AccuracyError(f"Output must be a file, not the folder {path}")
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = part.open("xb")
    except OSError as error:
        raise AccuracyError(f"Cannot write {path}: {error.strerror}") from None
    try:
        with file:
            yield file
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def positive(text: str) -> int:
    """Return the integer of at least 1 that an argument says."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value
