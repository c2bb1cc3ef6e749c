"""ONNX models with units in them, run by ONNX's reference evaluator."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from rtl import UnitConfig

from .errors import AccuracyError
from .fitting import fit_layernorms, fit_softmax
from .onnx_operators import operators
from .onnx_units import Units
from .settings import Settings
from .units import layernorm_parameters, softmax_config

__all__ = ["OnnxModel", "onnx_reference"]

#: Inputs of a model, by name.
Feed = Mapping[str, np.ndarray]


def onnx_reference(model: onnx.ModelProto | bytes | str | os.PathLike[str], *,
                   softmax: str | UnitConfig | None = None,
                   layernorm: str | UnitConfig | None = None,
                   calibrate: Iterable[Feed] | None = None,
                   settings: Settings | str | os.PathLike[str] | None = None,
                   method: str = "least-squares", percentile: float = 99.9,
                   head_room: float = 0.1, per_channel: bool = True) -> OnnxModel:
    """Put units into an ONNX model, in place of its softmaxes and LayerNorms.

    The operators ``Softmax``, ``Attention``, ``LayerNormalization`` and ``RMSNormalization`` are
    those of the ONNX standard; what a unit computes there is what :func:`sim.model.run` computes,
    bit for bit. All else is computed by :class:`onnx.reference.ReferenceEvaluator`.

    Parameters
    ----------
    model : ModelProto, bytes or path
        Model.
    softmax, layernorm : str, config or None
        Unit, as ``"softmax-e2:plus"``, ``"layernorm-exact:bits=10"``, or a configuration; None
        leaves these in float. The step of the logits is calibrated unless it is given.
    calibrate : iterable of dictionaries
        A few of the model's inputs, arrays by name; never the test data. A LayerNorm needs them.
        Without them a softmax keeps its step, and no head has an offset.
    settings : Settings or path
        Of :attr:`OnnxModel.settings`, in place of ``softmax``, ``layernorm``, ``calibrate``.
    method, percentile, head_room, per_channel
        As of :func:`sim.accuracy.logits.fit` and :func:`sim.accuracy.channels.fit`.

    Raises
    ------
    AccuracyError
        If there is nothing to replace, or an argument is not what is meant.
    """
    proto = _loaded(model)
    if settings is not None:
        if softmax is not None or layernorm is not None or calibrate is not None:
            raise AccuracyError("Argument settings must come alone, without softmax, layernorm and "
                                "calibrate")
        if not isinstance(settings, Settings):
            settings = Settings.load(settings)
        return OnnxModel(proto, settings)
    if softmax is None and layernorm is None:
        raise AccuracyError("Argument softmax or layernorm must name a unit; neither is given")
    config, fixed_step = (None, False) if softmax is None else softmax_config(softmax)
    wanted = None if layernorm is None else layernorm_parameters(layernorm)
    if calibrate is None:
        if wanted is not None:
            raise AccuracyError("Argument calibrate must be given with layernorm: its scales come "
                                "from activations")
        return OnnxModel(proto, Settings(config))
    feeds = _checked(calibrate)
    units = Units(Settings(), recording=len(feeds))
    evaluator = _evaluator(proto, units, config is not None, wanted is not None)
    for feed in feeds:
        evaluator.run(None, feed)
    chosen = Settings()
    _require(units.names, config is not None, wanted is not None)
    if config is not None:
        heads = units.heads()
        if not heads:
            raise AccuracyError("Argument calibrate must reach a Softmax or Attention with rows "
                                "that are not masked as a whole")
        chosen = fit_softmax(config, heads, fixed_step=fixed_step, method=method,
                             percentile=percentile)
    norms = {}
    if wanted is not None:
        layers = units.layers()
        if not layers:
            raise AccuracyError("Argument calibrate must reach a LayerNormalization or "
                                "RMSNormalization")
        norms = fit_layernorms(*wanted, layers, method=method, percentile=percentile,
                               head_room=head_room, per_channel=per_channel)
    return OnnxModel(proto, Settings(chosen.softmax, chosen.heads, norms))


class OnnxModel:
    """An ONNX model with units in it.

    Attributes
    ----------
    settings : Settings
        Configurations and scales, by the name of each node's first output.
    new_ops : list of classes
        The operators, for an evaluator of one's own: ``ReferenceEvaluator(model, new_ops=...)``.
        Each evaluator needs a list of its own, of a model of its own.
    """

    def __init__(self, model: onnx.ModelProto, settings: Settings) -> None:
        self.settings = settings
        softmax, layernorm = settings.softmax is not None, bool(settings.layernorm)
        units = Units(settings)
        self._evaluator = _evaluator(model, units, softmax, layernorm)
        _require(units.names, softmax, layernorm)
        for name in (*settings.heads, *settings.layernorm):
            if name not in units.names:
                raise AccuracyError(f"Settings name {name}, which no Softmax, Attention or "
                                    "normalisation of the model puts out")
        self.new_ops: list[type[OpRun]] = operators(Units(settings), softmax, layernorm)

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs."""
        return list(self._evaluator.input_names)

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs."""
        return list(self._evaluator.output_names)

    def run(self, output_names: Sequence[str] | None, feed: Feed) -> list[np.ndarray]:
        """Return the outputs called ``output_names``, or all for None."""
        return self._evaluator.run(output_names, dict(feed))

    def emit(self, folder: str | os.PathLike[str]) -> list[pathlib.Path]:
        """Generate the units as Verilog; see :meth:`sim.accuracy.settings.Settings.emit`."""
        return self.settings.emit(folder)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save :attr:`settings` to a ``.toml`` or ``.json`` file."""
        self.settings.save(path)


def _evaluator(model: onnx.ModelProto, units: Units, softmax: bool,
               layernorm: bool) -> ReferenceEvaluator:
    new_ops = operators(units, softmax, layernorm)

    class Evaluator(ReferenceEvaluator):
        """Hands the operators to functions of the model too, which ONNX's own does not."""

        def __init__(self, proto: object, *arguments: object, **options: object) -> None:
            super().__init__(proto, *arguments, **{**options, "new_ops": new_ops})

    return Evaluator(model)


def _loaded(model: object) -> onnx.ModelProto:
    if isinstance(model, onnx.ModelProto):
        return model
    if not isinstance(model, bytes | str | os.PathLike):
        raise AccuracyError("Argument model must be an onnx.ModelProto, bytes or a path, "
                            f"not {type(model).__name__}")
    what = "bytes" if isinstance(model, bytes) else repr(os.fspath(model))
    try:
        proto = onnx.load_from_string(model) if isinstance(model, bytes) else onnx.load(model)
    except OSError as error:
        raise AccuracyError(f"Argument model {what} can not be read: {error.strerror}") from None
    except DecodeError:
        raise AccuracyError(f"Argument model {what} must be an ONNX model") from None
    if not proto.HasField("graph"):
        raise AccuracyError(f"Argument model {what} must be an ONNX model")
    return proto


def _checked(feeds: object) -> list[Feed]:
    allowed = "a list of dictionaries of arrays, by the names of the model's inputs"
    if isinstance(feeds, Mapping | str | np.ndarray) or not isinstance(feeds, Iterable):
        hint = ", one batch: put it into a list" if isinstance(feeds, Mapping) else ""
        raise AccuracyError(f"Argument calibrate must be {allowed}, not {type(feeds).__name__}"
                            f"{hint}")
    result = list(feeds)
    if not result:
        raise AccuracyError("Argument calibrate must have at least one batch, not 0")
    for number, feed in enumerate(result):
        if not isinstance(feed, Mapping) or not feed:
            raise AccuracyError(f"Argument calibrate must be {allowed}; batch {number} is "
                                f"{type(feed).__name__}")
        for name, array in feed.items():
            if not isinstance(array, np.ndarray):
                raise AccuracyError(f"Argument calibrate must be {allowed}; {name} of batch "
                                    f"{number} is {type(array).__name__}")
            if not array.size:
                raise AccuracyError(f"Argument calibrate must have no empty batch; {name} of batch "
                                    f"{number} has the shape {array.shape}")
            if array.dtype.kind == "f" and np.isnan(array).any():
                raise AccuracyError("Argument calibrate must be numbers; "
                                    f"{name} of batch {number} has NaN")
    return result


def _require(names: list[str], softmax: bool, layernorm: bool) -> None:
    if not names:
        kinds = ["Softmax", "Attention"] * softmax
        kinds += ["LayerNormalization", "RMSNormalization"] * layernorm
        raise AccuracyError(f"Model must have a node {' or '.join(kinds)}")
