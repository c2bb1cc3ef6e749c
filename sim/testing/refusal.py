"""What a configuration that is refused says."""

from __future__ import annotations

import contextlib
import re

import pytest

from rtl import ConfigError

__all__ = ["refused"]


def refused(message: str) -> contextlib.AbstractContextManager:
    """Return a context in which a configuration is refused with exactly this message."""
    return pytest.raises(ConfigError, match=f"^{re.escape(message)}$")
