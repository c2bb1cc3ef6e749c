"""Output layer and hidden states of a causal language model: ``python -m sim.svd.states FOLDER``.

The model is a folder of Transformers, for instance the small one that ``python -m
sim.accuracy.train causal`` makes. It reads the text in windows, each by itself; what its output
layer gets at a token is a hidden state, and the token after it is the label. One half of the states
is spread over the first nine tenths of the text, the other over the rest, so that ``python -m
sim.svd``, which calibrates on the first half, measures on text that a model trained on the first
part has not seen::

    python -m sim.svd.states build/causal --out build/causal.npz
    python -m sim.svd build/causal.npz

The file holds ``matrix``, ``hidden`` and ``label``, and ``bias`` where the layer has one. PyTorch
and Transformers are needed: ``pip install torch==2.13.0 && pip install -e '.[torch]'``.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from rtl.publish import publish

from ..data.real import DATA, data_file
from ..errors import RequestError
from .errors import SvdError

__all__ = ["main", "observe"]

# Windows that the model reads at a time, and tokens of a window.
BATCH = 16
TOKENS = 128


def observe(model: torch.nn.Module, tokens: torch.Tensor
            ) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs of a model's output layer (states, dim), float32, and labels (states,).

    ``tokens`` (windows, size) are token ids; each but the last one of a window gives a state.
    """
    found: list[torch.Tensor] = []
    layer = model.get_output_embeddings()
    hook = layer.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].detach()))
    try:
        with torch.no_grad():
            for ids in tokens.split(BATCH):
                model(input_ids=ids, use_cache=False)
    finally:
        hook.remove()
    hidden = torch.cat(found)[:, :-1]
    return (hidden.reshape(-1, hidden.shape[-1]).to(torch.float32).numpy(),
            tokens[:, 1:].reshape(-1).numpy())


def states(folder: str, text: str, count: int) -> dict[str, np.ndarray]:
    """Return the arrays of the file: layer, and up to ``count`` states of a text.

    Raises
    ------
    SvdError
        If the model can not be read, or the text is too short.
    """
    if not (Path(folder) / "config.json").is_file():
        raise SvdError(f"Argument FOLDER must have a config.json, not {folder!r}")
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise SvdError(f"Model {folder!r} can not be read: {reason}") from None
    model.eval().float()
    layer = model.get_output_embeddings()
    if not isinstance(layer, torch.nn.Linear):
        raise SvdError(f"Model {folder!r} must have a linear output layer")
    size = min(TOKENS, getattr(model.config, "max_position_embeddings", TOKENS))
    cut = text.find("\n", len(text) * 9 // 10) + 1
    parts = []
    for part in (text[:cut], text[cut:]):
        ids = tokenizer(part, verbose=False)["input_ids"]
        windows = torch.tensor(ids[:len(ids) // size * size]).view(-1, size)
        # As many windows as the states take, spread over the text.
        wanted = min(len(windows), -(-count // 2 // (size - 1)))
        if not wanted:
            raise SvdError(f"Text must have {size} tokens at least in each of its parts, not "
                           f"{len(ids)}")
        parts.append(observe(model, windows[torch.arange(wanted) * len(windows) // wanted]))
    # The halves are equal, so that the middle parts them.
    half = min(count // 2, *(len(label) for _, label in parts))
    chosen = [np.linspace(0, len(label) - 1, half).astype(int) for _, label in parts]
    arrays = {"matrix": layer.weight.detach().numpy(),
              "hidden": np.concatenate([h[at] for (h, _), at in zip(parts, chosen, strict=True)]),
              "label": np.concatenate([x[at] for (_, x), at in zip(parts, chosen, strict=True)])}
    if layer.bias is not None:
        arrays["bias"] = layer.bias.detach().numpy()
    return arrays


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0; 1 for a request that cannot be met."""
    parser = argparse.ArgumentParser(
        prog="python -m sim.svd.states", allow_abbrev=False,
        description="Output layer and hidden states of a causal language model, for python -m "
                    "sim.svd.")
    parser.add_argument("folder", metavar="FOLDER", help="folder of a Transformers model")
    parser.add_argument("--text", type=Path, metavar="FILE",
                        help=f"text (default: wikitext2/valid.txt in the folder that {DATA} names)")
    parser.add_argument("--states", type=int, default=6000, metavar="N",
                        help="hidden states (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("build/states.npz"), metavar="FILE",
                        help="file to write (default: %(default)s)")
    options = parser.parse_args(arguments)
    logging.disable_progress_bar()
    try:
        if options.states < 4:
            raise SvdError(f"Option --states must be at least 4, not {options.states}")
        arrays = states(options.folder, _text(options.text), options.states)
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)
        publish(options.out.parent, {options.out.name: content.getvalue()})
    except RequestError as error:
        print(f"sim.svd.states: error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"sim.svd.states: error: File {str(error.filename)!r} can not be written: "
              f"{error.strerror}", file=sys.stderr)
        return 1
    words, dim = arrays["matrix"].shape
    print(f"{words} words of {dim}, {len(arrays['label'])} states: {options.out}")
    return 0


def _text(path: Path | None) -> str:
    path = data_file("wikitext2/valid.txt") if path is None else path
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SvdError(f"File {str(path)!r} can not be read: {reason}") from None


if __name__ == "__main__":
    sys.exit(main())
