"""Steps of a command: files that it writes and programs that it runs, shown or done."""

from __future__ import annotations

import dataclasses
import pathlib
import shlex
import subprocess
from collections.abc import Callable, Iterable

from rtl.publish import publish

from . import tools

__all__ = ["Note", "Run", "Step", "Write", "perform"]


@dataclasses.dataclass(frozen=True)
class Write:
    """A file that is written.

    Attributes
    ----------
    path : Path
        Where it goes.
    content : callable
        Makes its content.
    what : str
        What it is.
    """

    path: pathlib.Path
    content: Callable[[], str | bytes]
    what: str

    def __str__(self) -> str:
        return f"write {self.path}: {self.what}"


@dataclasses.dataclass(frozen=True)
class Run:
    """A program that is run.

    Attributes
    ----------
    tool : str
        Its name, of :data:`boards.tools.TOOLS`.
    arguments : tuple of str
        Its arguments.
    what : str
        What it does.
    """

    tool: str
    arguments: tuple[str, ...]
    what: str

    def __str__(self) -> str:
        return f"run   {shlex.join([self.tool, *self.arguments])}\n      # {self.what}"


@dataclasses.dataclass(frozen=True)
class Note:
    """Something that the user has to do.

    Attributes
    ----------
    text : str
        What it is.
    """

    text: str

    def __str__(self) -> str:
        return f"then  {self.text}"


Step = Write | Run | Note


def perform(steps: Iterable[Step], *, dry: bool = False) -> None:
    """Do the steps in order, and print each; with ``dry`` only print.

    No step is done if a program is missing.

    Raises
    ------
    ToolError
        If a program is missing or fails; the steps after it are not done.
    """
    steps = list(steps)
    found = {} if dry else {step.tool: tools.find(step.tool) for step in steps
                            if isinstance(step, Run)}
    for step in steps:
        print(step, flush=True)
        if dry or isinstance(step, Note):
            continue
        if isinstance(step, Write):
            publish(step.path.parent, {step.path.name: step.content()})
            continue
        done = subprocess.run([found[step.tool], *step.arguments], stdin=subprocess.DEVNULL)
        if done.returncode:
            raise tools.ToolError(f"Program {step.tool} failed with status {done.returncode}: it "
                                  f"was to {step.what}")
