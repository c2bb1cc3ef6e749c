"""Memory of a process that works on arrays: kept for the next one, not handed back."""

from __future__ import annotations

import ctypes
import platform

__all__ = ["keep_memory"]

# Parameters of mallopt, and the largest size below which an array is not mapped by itself.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
LARGEST = 32 << 20


def keep_memory() -> bool:
    """Let the C library keep memory that is freed, up to some megabytes; returns whether it does.

    The GNU C library hands arrays of more than 128 KiB back to the system, as by default, and the
    page faults of the next ones take longer than what a model computes in them. This changes the
    whole process, so the commands do it, and no module by itself. Other libraries are left alone.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(MMAP_THRESHOLD, LARGEST) and mallopt(TRIM_THRESHOLD, 4 * LARGEST))
