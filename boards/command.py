"""What the commands of boards share: errors as one line, and an exit status."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence

from amaranth import UnusedElaboratable

from rtl.config import ConfigError
from rtl.emit.synthesis import SynthesisError
from rtl.emit.yosys import YosysError

from .tools import ToolError

__all__ = ["guarded"]


def guarded(command: Callable[[list[str]], None], argv: Sequence[str] | None) -> int:
    """Run a command with its arguments, and return its exit status.

    0: success; 1: a program, a file or the design failed; 2: wrong request; 130: interrupted.
    """
    # Emission makes components of which it reads nothing but the ports.
    warnings.simplefilter("ignore", UnusedElaboratable)
    try:
        command(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return 0
    except ConfigError as error:
        message, status = str(error), 2
    except (ToolError, SynthesisError, YosysError) as error:
        message, status = str(error), 1
    except OSError as error:
        what = "Output" if error.filename is None else f"File {str(error.filename)!r}"
        message, status = f"{what} can not be read or written: {error.strerror}", 1
    except KeyboardInterrupt:
        message, status = "Interrupted", 130
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return status
