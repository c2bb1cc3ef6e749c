"""What a configuration that is refused says."""

import re

import pytest

from rtl import ConfigError

__all__ = ["refused"]


def refused(message):
    """Context in which a configuration is refused with exactly this message."""
    return pytest.raises(ConfigError, match=f"^{re.escape(message)}$")
