"""A model of Transformers that reads texts, and shows what it computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from .errors import AccuracyError
from .hooks import Attended, hooked
from .modules import norm_place
from .place import State
from .pretrained import MINILM, load_model, load_tokenizer

__all__ = ["Reader"]


class Reader:
    """Model and tokenizer, in float64.

    In float64, another order of summation (other processor, other number of threads) does not
    move a logit over a rounding edge of the quantiser, as float32 does now and then.

    Parameters
    ----------
    name : str
        ``"minilm"``, or a folder with the files of a Transformers model and its tokenizer.

    Attributes
    ----------
    layers, heads : int
        Attentions of the model, and heads of each.
    max_length : int
        Tokens of the longest text.
    ends : int
        Tokens that open and close a text.
    """

    def __init__(self, name: str = MINILM) -> None:
        self._tokenizer = load_tokenizer(name)
        self._model = load_model(name, dtype=torch.float64)
        config = self._model.config
        try:
            self.layers: int = config.num_hidden_layers
            self.heads: int = config.num_attention_heads
            self.max_length: int = config.max_position_embeddings
        except AttributeError as error:
            raise AccuracyError(f"Model {name!r} must read texts: its config lacks "
                                f"{error.name}") from None
        # Texts are put together of tokens, between those that open and close one.
        inside, = self.tokenize(["a"])
        whole = self._tokenizer("a")["input_ids"]
        start = next(n for n in range(len(whole)) if whole[n:n + len(inside)] == inside)
        self._first, self._last = whole[:start], whole[start + len(inside):]
        self.ends = len(self._first) + len(self._last)

    def tokenize(self, sentences: Sequence[str]) -> list[list[int]]:
        """Return each sentence's token ids, without the tokens that open and close a text."""
        return self._tokenizer(list(sentences), add_special_tokens=False, verbose=False,
                               return_attention_mask=False)["input_ids"]

    def batch(self, texts: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
        """Return ids and padding mask, both (texts, longest text with its end tokens)."""
        size = max(map(len, texts)) + self.ends
        # Without a token for padding any does: it takes no part.
        ids = np.full((len(texts), size), self._tokenizer.pad_token_id or 0)
        mask = np.ones(ids.shape, dtype=bool)
        for row, text in enumerate(texts):
            ids[row, :len(text) + self.ends] = [*self._first, *text, *self._last]
            mask[row, :len(text) + self.ends] = False
        return ids, mask

    def forward(self, ids: np.ndarray, mask: np.ndarray,
                observe: Callable[[int, np.ndarray, np.ndarray], None] | None = None,
                observe_norm: Callable[[str, np.ndarray], None] | None = None,
                observe_heads: Callable[..., None] | None = None) -> np.ndarray:
        """Run the model and return its last hidden states.

        Parameters
        ----------
        ids, mask : (texts, length) arrays
            Token ids, and true where the position is padding.
        observe : callable
            Is given each layer's number, its logits (texts, heads, queries, keys) before masking
            and softmax, and where the mask takes a key away.
        observe_norm : callable
            Is given the name of each LayerNorm and its input, (texts, length, channels).
        observe_heads : callable
            Is given each layer's number and its queries, keys and values, each of them
            (texts, heads, length, dim).
        """
        seen: dict[str, int] = {}

        def attention(attended: Attended) -> None:
            layer = seen.setdefault(attended.name, len(seen))
            if observe is not None:
                observe(layer, attended.logits.numpy(), attended.dead.numpy())
            if observe_heads is not None:
                observe_heads(layer, *(part.numpy() for part in (
                    attended.query, attended.key, attended.value)))

        def norm(name: str, inputs: torch.Tensor) -> None:
            observe_norm(name, inputs.numpy())

        looked_at = observe is not None or observe_heads is not None
        with torch.no_grad(), hooked(self._model, attention if looked_at else None,
                                     None if observe_norm is None else norm):
            output = self._model(input_ids=torch.from_numpy(ids),
                                 attention_mask=torch.from_numpy(~mask).long())
        return output.last_hidden_state.numpy()

    def norm(self, name: str) -> tuple[np.ndarray, np.ndarray, float]:
        """Return gamma, beta and epsilon of a LayerNorm."""
        place = norm_place(self._model.get_submodule(name), name, State())
        if place.rms:
            raise AccuracyError(f"Module {name} must be a LayerNorm to be captured, not an RMSNorm")
        return place.gamma.numpy(), place.beta.numpy(), place.epsilon
