"""Progress of long commands: a bar on a terminal, and elsewhere a line every ten seconds."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType

__all__ = ["INTERVAL", "Progress"]

# Seconds from line to line.
INTERVAL = 10.0


class Progress:
    """How far some work is, on standard error while the context lasts.

    It is a thread: processes that are to be forked must be there before.

    Parameters
    ----------
    title : str
        What is done.
    total : int, optional
        Steps of it all, if they are known.
    unit : str
        Name of a step.
    """

    def __init__(self, title: str, total: int | None = None, unit: str = "") -> None:
        self._title, self._total, self._unit = title, total, unit
        self._done = 0
        self._ended = threading.Event()
        self._bar = self._thread = None

    def __enter__(self) -> Progress:
        self._start = time.monotonic()
        if sys.stderr.isatty():
            # Rich takes longer to import than many a command.
            from rich import progress
            from rich.console import Console
            self._bar = progress.Progress(
                progress.TextColumn("{task.description}"), progress.BarColumn(),
                progress.TextColumn("{task.fields[said]}"), progress.TimeElapsedColumn(),
                console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=self._total, said=self._said())
        else:
            self._thread = threading.Thread(target=self._lines, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._ended.set()
        if self._bar is not None:
            self._bar.stop()
        if self._thread is not None:
            self._thread.join()

    def advance(self, steps: int = 1) -> None:
        """Count steps that are done."""
        self._done += steps
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, said=self._said())

    def _said(self) -> str:
        of = f" of {self._total:,}" if self._total is not None else ""
        return f"{self._done:,}{of}{f' {self._unit}' * bool(self._unit)}"

    def _lines(self) -> None:
        while not self._ended.wait(INTERVAL):
            print(f"{self._title}: {self._said()}, {time.monotonic() - self._start:.0f} s",
                  file=sys.stderr, flush=True)
