"""Figures of SVD-softmax as the engine computes it, by its integer model."""

from __future__ import annotations

from collections.abc import Callable

from .. import model
from .agreement import Agreement, Exact, Tally
from .evaluation import blocks
from .head import Head, States
from .quantise import Quantised
from .work import share

__all__ = ["evaluate_engine"]

# Logits that are worked on at a time: the model turns the whole image into floats each time.
CHUNK = 1 << 24


def evaluate_engine(head: Head, quantised: Quantised, states: States,
                    advance: Callable[[int], object] = lambda done: None) -> Agreement:
    """Return the figures of the engine against the exact layer in real numbers.

    Logits are those of the mixed vector, 16 bits, and the log-partition is the engine's own.
    ``advance`` is told how many states are done.
    """
    config, image = quantised.config, quantised.image
    tally = Tally()
    for block in blocks(head, states, CHUNK):
        out = model.run(config, quantised.codes(block.hidden), image, whole=True, softmax=False)
        tally.add(Exact(head.logits(block.hidden), block.label), out.mixed * config.logit_scale,
                  out.log_partition * config.log_scale)
        advance(len(block))
    return tally.result(image.columns, image.count,
                        share(head.vocabulary, head.dim, image.columns, image.count,
                              config.residual))
