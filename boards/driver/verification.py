"""Results compared with the model, which the driver otherwise does without."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .errors import DeviceError

__all__ = ["ModelledSets", "compared", "image_of", "model_of", "set_parameters"]


def _config(manifest: Mapping[str, Any], changes: Mapping[str, Any]) -> Any:
    try:
        from rtl import UnitConfig
        from sim import model  # noqa: F401 - whether it is there
    except ImportError as error:
        raise DeviceError(f"Package {error.name} must be installed for verify=True") from None
    return UnitConfig.from_dict({"unit": manifest["unit"], **manifest["parameters"], **changes})


def model_of(manifest: Mapping[str, Any], changes: Mapping[str, Any]) -> Callable[..., np.ndarray]:
    """Model of the unit, with some of its parameters changed."""
    config = _config(manifest, changes)
    from sim import model
    return lambda *arrays, **options: model.run(config, *arrays, **options)


def set_parameters(manifest: Mapping[str, Any], words: Sequence[int]) -> Any:
    """:class:`rtl.attention.parameters.SetParameters` that words of the stream ``p`` are."""
    config = _config(manifest, {})
    from rtl.attention.parameters import SetParameters
    return SetParameters.from_words(config, words)


def image_of(manifest: Mapping[str, Any], content: bytes) -> Any:
    """:class:`sim.data.svd_image.SvdImage` that the bytes of an image are."""
    config = _config(manifest, {})
    from sim.data.svd_image import SvdImage
    return SvdImage.unpack(config, content)


def compared(y: np.ndarray, expected: np.ndarray | None) -> np.ndarray:
    """Return ``y``, if it is what the model says or there is nothing to compare it with.

    Raises
    ------
    DeviceError
        If it is something else.
    """
    if expected is not None and not np.array_equal(y, expected):
        wrong = np.argwhere(y != expected)
        raise DeviceError(f"Result must be that of the model, not another in {len(wrong)} of "
                          f"{y.size} elements, first at {tuple(map(int, wrong[0]))}")
    return y


class ModelledSets:
    """Model of resident sets (:class:`sim.model.attention.resident.ResidentSets`), beside a device.

    Parameters
    ----------
    manifest : dict
        Manifest of the unit.
    """

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        self._manifest, self._config = manifest, _config(manifest, {})
        from sim.model.attention import resident
        self._model = resident
        self._heads: list[Any] | None = None
        self.clear()

    def clear(self) -> None:
        """Empty all sets; heads keep their scales."""
        self._sets = self._model.ResidentSets(self._config, self._config.regions, self._heads)
        self._heads = self._sets.heads

    def head(self, head: int, words: Sequence[int]) -> None:
        """Give a head the scales of words of the stream ``p``."""
        own = set_parameters(self._manifest, words)
        numbers = self._model.Head(own.logit, own.output, own.sink)
        self._sets.execute(self._model.SetHead(head, numbers))

    def append(self, number: int, k: np.ndarray, v: np.ndarray, mask: np.ndarray | None) -> None:
        """Append keys and values, shapes (n, dim), to a set."""
        self._sets.execute(self._model.Append(number, k, v, mask))

    def truncate(self, number: int, keys: int, abort: bool) -> None:
        """Keep the first keys of a set, modulo ``2**position_bits``."""
        self._sets.execute(self._model.Truncate(number, keys, abort))

    def query(self, number: int, q: np.ndarray, offset: int, head: int,
              bias: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Outputs of queries, shape (n, dim), and which of them failed, shape (n,).

        ``bias`` has the elements of the row of biases of a query, if there are some.
        """
        if bias is not None:
            bias = np.pad(bias, (0, self._config.regions.row_keys - len(bias)))
        self._sets.execute(self._model.Query(number, q, offset, head, bias))
        answer = self._sets.answers.pop()
        return answer.y, answer.marked
