"""Units at the nodes of an ONNX model: quantised inputs, the integer model, real outputs."""

from __future__ import annotations

import dataclasses

import numpy as np

from .. import model
from ..reference import softmax
from . import channels
from .calibrate import normalise
from .channels import NormScales
from .errors import AccuracyError
from .fitting import LayerRows
from .logits import HeadRows, codes
from .settings import NormSettings, Settings

__all__ = ["Units"]

# Rows that are kept of each head, and of each LayerNorm.
HEAD_ROWS = 192
NORM_ROWS = 2048

# Length of the difference of two gammas over their length, above which they are not the same.
SAME = 0.1


@dataclasses.dataclass(eq=False)
class Units:
    """What the operators of one model share.

    Attributes
    ----------
    settings : Settings
        Units and scales, by the name of each node.
    recording : int
        Batches of a calibration that is going on: operators compute in float, and what they get is
        kept. 0: the units compute.
    names : list of str
        Nodes that a unit can take over.
    """

    settings: Settings
    recording: int = 0
    names: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(0)
        self._logits: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        self._layers: dict[str, list[LayerRows]] = {}

    def name(self, wanted: str) -> str:
        """Return the name of one more node: what is wanted, with a number if it is taken."""
        taken = sum(name.partition("#")[0] == wanted for name in self.names)
        self.names.append(f"{wanted}#{taken + 1}" if taken else wanted)
        return self.names[-1]

    # Softmax -----------------------------------------------------------------------------------

    def softmax(self, name: str, logits: np.ndarray, dead: np.ndarray | None = None) -> np.ndarray:
        """Return weights, float64, of logits over their last axis.

        Parameters
        ----------
        name : str
            Node.
        logits : float array, shape (batch, heads, queries, keys)
            Logits.
        dead : boolean array, broadcastable to the logits
            Elements that take no part; a row of them gives zeros.
        """
        logits = logits.astype(np.float64)
        alive = logits if dead is None else np.where(dead, -np.inf, logits)
        if np.isnan(alive).any():
            raise AccuracyError(f"Logits at {name} must be numbers, not NaN")
        if self.recording:
            self._keep_logits(name, alive)
            return softmax(alive)
        config = self.settings.softmax
        if logits.shape[-1] > config.max_length:
            raise AccuracyError(f"Rows at {name} must have at most {config.max_length} elements, "
                                f"the unit's max_length, not {logits.shape[-1]}")
        offsets = np.array(self.settings.heads.get(name, (0,)))
        if len(offsets) not in (1, logits.shape[1]):
            raise AccuracyError(f"Offsets of {name} must be for {logits.shape[1]} heads, "
                                f"not {len(offsets)}")
        x = codes(alive, config.input_scale, offsets[:, None, None], config.bits)
        return model.run(config, x, *(() if dead is None else (dead,))) * config.output_scale

    def _keep_logits(self, name: str, logits: np.ndarray) -> None:
        maxima = logits.max(axis=-1)
        live = np.isfinite(maxima)
        if logits.shape[-1] == logits.shape[-2]:
            # A key that no query takes is padding, and its own query counts in no statistic.
            live &= np.isfinite(logits.max(axis=-2))
        # The same queries of all heads, where all heads have them.
        together = np.argwhere(live.all(axis=1))
        if not len(together):
            return
        some = self._random.permutation(len(together))[:max(1, HEAD_ROWS // self.recording)]
        batch, query = together[some].T
        self._logits.setdefault(name, []).append((
            maxima.transpose(1, 0, 2)[:, live.all(axis=1)],
            logits.transpose(1, 0, 2, 3)[:, batch, query]))

    def heads(self) -> dict[str, list[HeadRows]]:
        """Return what each head of each node was seen to get."""
        result = {}
        for name, parts in self._logits.items():
            longest = max(rows.shape[-1] for _, rows in parts)
            rows = np.concatenate([np.pad(rows, ((0, 0), (0, 0), (0, longest - rows.shape[-1])),
                                          constant_values=-np.inf) for _, rows in parts], axis=1)
            maxima = np.concatenate([top for top, _ in parts], axis=1)
            result[name] = [HeadRows(*pair) for pair in zip(maxima, rows, strict=True)]
        return result

    # LayerNorm ---------------------------------------------------------------------------------

    def layernorm(self, name: str, layer: LayerRows) -> np.ndarray:
        """Return outputs, float64, shape (rows, channels), for all rows of ``layer.inputs``."""
        if not np.isfinite(layer.inputs).all():
            raise AccuracyError(f"Activations at {name} must be finite numbers")
        if self.recording:
            some = self._random.permutation(len(layer.inputs))
            rows = layer.inputs[some[:max(1, NORM_ROWS // self.recording)]]
            self._layers.setdefault(name, []).append(dataclasses.replace(layer, inputs=rows))
        norm = self.settings.layernorm.get(name)
        if self.recording or norm is None:
            return normalise(layer.inputs, layer.gamma, layer.beta, epsilon=layer.epsilon,
                             rms=layer.rms)
        _check_layer(name, norm, layer)
        scales = NormScales(norm.config, np.array(norm.input_steps), norm.input_offset,
                            np.array(norm.output_steps))
        return model.run(norm.config, channels.codes(layer.inputs, scales)) * scales.output_steps

    def layers(self) -> dict[str, LayerRows]:
        """Return what each LayerNorm was seen to get."""
        return {name: dataclasses.replace(parts[0], inputs=np.concatenate(
            [part.inputs for part in parts])) for name, parts in self._layers.items()}


def _check_layer(name: str, norm: NormSettings, layer: LayerRows) -> None:
    """Refuse a unit for a layer of other channels or another gamma, which is part of the unit."""
    config, size = norm.config, len(layer.gamma)
    if config.channels != size or config.rms != layer.rms:
        raise AccuracyError(f"Settings of {name} must be for {size} channels and rms {layer.rms}, "
                            f"not for {config.channels} and {config.rms}")
    lsb = 2.0 ** -config.gamma_fraction_bits * np.array(norm.output_steps)
    gamma = np.array(config.gammas) * lsb
    if np.linalg.norm(gamma - layer.gamma) > SAME * np.linalg.norm(layer.gamma) \
            + np.linalg.norm(lsb):
        raise AccuracyError(f"Scale of {name} must be the one that the unit was calibrated with: "
                            "it is part of the unit")
