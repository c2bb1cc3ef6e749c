"""Time of a model with units in it over that in float: ``python -m sim.accuracy.benchmark``.

Texts of the tasks' kind, made up of the model's own vocabulary, so that no data is needed. Times
are those of the process on one core, as the least of several runs that take turns: other work on
the machine disturbs them least.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import torch

from ..errors import RequestError
from ..memory import keep_memory
from .approximation import approximate
from .pretrained import MINILM, load_model

__all__ = ["main", "ratios"]

UNITS: dict[str, dict[str, str]] = {
    "softmax-e2:plus": {"softmax": "softmax-e2:plus"},
    "softmax-split:plus": {"softmax": "softmax-split:plus"},
    "softmax-softermax:plus": {"softmax": "softmax-softermax:plus"},
    "layernorm-exact": {"layernorm": "layernorm-exact"},
    "layernorm-ai": {"layernorm": "layernorm-ai"},
    "softmax-e2:plus+layernorm-exact": {"softmax": "softmax-e2:plus",
                                        "layernorm": "layernorm-exact"},
    **{name: {"attention": name} for name in (
        "attention:dense,max_keys=64", "attention:predict,max_keys=64",
        "attention:predict,predictor=prefix,rule=top-k,top_k=8,max_keys=64",
        "attention:conservative,max_keys=64", "attention:aggressive,max_keys=64",
        "attention:reuse,max_keys=64")},
}
RUNS = 5
# Texts of a batch, by their tokens.
TEXTS = {16: 32, 64: 8}


def ratios(model: torch.nn.Module, batches: Sequence[dict[str, torch.Tensor]],
           runs: int = RUNS, units: Sequence[str] = tuple(UNITS)
           ) -> Iterator[tuple[str, float, float]]:
    """Yield each of the units, and seconds in float and with them, for all batches once."""
    def forward() -> None:
        with torch.no_grad():
            for batch in batches:
                model(**batch)

    for name in units:
        hw = approximate(model, calibrate=batches[:2], method="largest", **UNITS[name])
        hw.restore()
        exact, inside = [], []
        # The first turn fills caches.
        for _ in range(runs + 1):
            exact.append(_seconds(forward))
            again = approximate(model, settings=hw.settings)
            try:
                inside.append(_seconds(forward))
            finally:
                again.restore()
        yield name, min(exact[1:]), min(inside[1:])


def _seconds(function: Callable[[], None]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def _texts(model: torch.nn.Module, lengths: Sequence[int], texts: int
           ) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    batches = []
    for length in lengths:
        ids = torch.randint(1000, model.config.vocab_size, (texts, length), generator=generator)
        mask = torch.ones_like(ids)
        mask[::4, length - length // 4:] = 0
        batches.append({"input_ids": ids, "attention_mask": mask})
    return batches


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m sim.accuracy.benchmark",
                                     description=__doc__.split("\n")[0])
    parser.add_argument("model", nargs="?", default=MINILM, metavar="MODEL",
                        help="minilm or the folder of a Transformers model (default: minilm)")
    parser.add_argument("--runs", type=int, default=RUNS, metavar="N",
                        help="runs of each (default: %(default)s)")
    parser.add_argument("--units", nargs="+", choices=UNITS, default=tuple(UNITS), metavar="UNITS",
                        help=f"some of {', '.join(UNITS)} (default: all)")
    parser.add_argument("--tokens", nargs="+", type=int, choices=TEXTS, default=tuple(TEXTS),
                        metavar="N", help="lengths of the texts, 16 or 64 (default: both)")
    options = parser.parse_args(arguments)
    if options.runs < 1:
        parser.error(f"--runs must be at least 1, not {options.runs}")
    keep_memory()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = load_model(options.model)
        print(f"{'units':68}{'tokens':>8}{'float, s':>10}{'units, s':>10}{'ratio':>7}")
        for length in options.tokens:
            batches = _texts(model, [length] * 4, TEXTS[length])
            for name, exact, units in ratios(model, batches, options.runs, options.units):
                print(f"{name:68}{length:>8}{exact:>10.3f}{units:>10.3f}{units / exact:>7.2f}",
                      flush=True)
    except RequestError as error:
        print(f"sim.accuracy.benchmark: error: {error}", file=sys.stderr)
        return 1
    finally:
        torch.set_num_threads(threads)
    return 0


if __name__ == "__main__":
    sys.exit(main())
