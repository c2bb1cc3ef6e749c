"""Small models to measure on, trained from nothing: ``python -m sim.accuracy.train KIND``.

``causal``: a GPT-2 of four layers on the first nine tenths of WikiText-2's validation text, with a
byte-pair tokenizer made of the same. ``vit``: a vision transformer of four layers on the first two
thirds of scikit-learn's digits. Minutes on one core; the same seed gives the same weights::

    python -m sim.accuracy.train causal --out build/causal
    python -m sim.accuracy build/causal wikitext2
    python -m sim.accuracy.train vit --out build/vit
    python -m sim.accuracy build/vit digits
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import tokenizers
import torch
from torch import nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    ViTConfig,
    ViTForImageClassification,
)
from transformers.utils import logging

from rtl.progress import Progress

from ..errors import RequestError
from .errors import AccuracyError
from .files import read_text
from .tasks.causal import TOKENS, held_out, windows
from .tasks.digits import images

__all__ = ["main", "train_causal", "train_vit"]

#: Steps of training, examples of a step, and largest learning rate, by kind.
STEPS = {"causal": 600, "vit": 900}
BATCH = {"causal": 16, "vit": 64}
RATE = {"causal": 3e-3, "vit": 3e-3}
# Part of the steps in which the rate rises; then it falls to 0 along a cosine.
WARM_UP = 0.05

VOCABULARY = 2048


def train_causal(*, steps: int = STEPS["causal"], width: int = 128, layers: int = 4, heads: int = 4,
                 seed: int = 0, told: Callable[[], object] = lambda: None
                 ) -> tuple[GPT2LMHeadModel, PreTrainedTokenizerFast]:
    """Return a causal language model and its tokenizer.

    Parameters
    ----------
    steps : int
        Steps of training.
    width, layers, heads : int
        Size of the model.
    seed : int
        Seed for weights and batches.
    told : callable
        Is called after each step.
    """
    text, _ = held_out(read_text("wikitext2/valid.txt"))
    tokenizer = _tokenizer(text)
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(GPT2Config(
        vocab_size=len(tokenizer), n_positions=TOKENS, n_embd=width, n_layer=layers, n_head=heads,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
        use_cache=False))
    tokens = windows(tokenizer(text, verbose=False)["input_ids"], TOKENS).view(-1)
    generator = torch.Generator().manual_seed(seed)

    def loss() -> torch.Tensor:
        starts = torch.randint(len(tokens) - TOKENS + 1, (BATCH["causal"],), generator=generator)
        ids = torch.stack([tokens[start:start + TOKENS] for start in starts])
        logits = model(input_ids=ids).logits[:, :-1]
        return nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())

    _train(model, loss, steps, RATE["causal"], told)
    return model, tokenizer


def train_vit(*, steps: int = STEPS["vit"], width: int = 64, layers: int = 4, heads: int = 4,
              seed: int = 0, told: Callable[[], object] = lambda: None
              ) -> ViTForImageClassification:
    """Return a vision transformer for digits of 8 x 8 pixels, in patches of 2 x 2.

    Parameters are those of :func:`train_causal`.
    """
    (pixels, labels), _ = images()
    torch.manual_seed(seed)
    model = ViTForImageClassification(ViTConfig(
        image_size=8, patch_size=2, num_channels=1, hidden_size=width, num_hidden_layers=layers,
        num_attention_heads=heads, intermediate_size=2 * width, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, num_labels=10, initializer_range=0.1))
    generator = torch.Generator().manual_seed(seed)

    def loss() -> torch.Tensor:
        chosen = torch.randint(len(labels), (BATCH["vit"],), generator=generator)
        # Moved by a pixel at most: there are few images.
        across, down = torch.randint(-1, 2, (2,), generator=generator).tolist()
        moved = pixels[chosen].roll((down, across), (-2, -1))
        return model(pixel_values=moved, labels=labels[chosen]).loss

    _train(model, loss, steps, RATE["vit"], told)
    return model


def _train(model: nn.Module, loss: Callable[[], torch.Tensor], steps: int, rate: float,
           told: Callable[[], object]) -> None:
    """Train a model by AdamW, on one core: sums of several would differ from run to run."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model.train()
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1},
                                   {"params": others, "weight_decay": 0.0}], lr=rate,
                                  betas=(0.9, 0.95))
    warm_up = max(1, round(steps * WARM_UP))
    try:
        for step in range(steps):
            part = min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))
            for group in optimizer.param_groups:
                group["lr"] = rate * part
            optimizer.zero_grad(set_to_none=True)
            loss().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            told()
    finally:
        torch.set_num_threads(threads)
    model.eval()


def _tokenizer(text: str) -> PreTrainedTokenizerFast:
    """Return a byte-pair tokenizer made of a text."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.train_from_iterator(text.split("\n"), tokenizers.trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<|end|>"], show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()))
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|end|>")


# Command

def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m sim.accuracy.train",
                                     description=__doc__.split("\n")[0])
    parser.add_argument("kind", choices=tuple(STEPS), metavar="KIND",
                        help="causal: language model, WikiText-2; vit: vision transformer, digits")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER",
                        help="folder to write; it must not exist yet")
    parser.add_argument("--steps", type=int, metavar="N",
                        help="steps of training (default: "
                             + ", ".join(f"{kind} {steps}" for kind, steps in STEPS.items()) + ")")
    parser.add_argument("--seed", type=int, default=0, metavar="N",
                        help="seed for weights and batches (default: %(default)s)")
    options = parser.parse_args(arguments)
    logging.disable_progress_bar()
    try:
        steps = STEPS[options.kind] if options.steps is None else options.steps
        if steps < 1:
            raise AccuracyError(f"Option --steps must be at least 1, not {steps}")
        if options.out.exists():
            raise AccuracyError(f"Option --out must be a folder that does not exist yet, not "
                                f"{str(options.out)!r}")
        with Progress(f"training {options.kind}", steps, "steps") as progress:
            choice = {"steps": steps, "seed": options.seed, "told": progress.advance}
            parts = (train_causal(**choice) if options.kind == "causal"
                     else (train_vit(**choice),))
        _save(options.out, parts)
    except RequestError as error:
        print(f"sim.accuracy.train: error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"sim.accuracy.train: error: Folder {str(options.out)!r} can not be written: "
              f"{error.strerror}", file=sys.stderr)
        return 1
    print(f"{sum(p.numel() for p in parts[0].parameters()):,} parameters, {steps} steps: "
          f"{options.out}")
    return 0


def _save(folder: Path, parts: Sequence[object]) -> None:
    """Save a model, and a tokenizer, as a folder that is there whole or not at all."""
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        for each in parts:
            each.save_pretrained(part)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
