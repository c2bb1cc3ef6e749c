"""Captured and synthetic data.

The samples ``minilm_*.npz`` lie beside the modules and are installed with them: :func:`sample`.
"""

from pathlib import Path

__all__ = ["sample"]


def sample(name: str) -> Path:
    """Return the path of a sample: ``logits``, ``heads``, ``layernorm`` or ``basis``."""
    return Path(__file__).parent / f"minilm_{name}.npz"
