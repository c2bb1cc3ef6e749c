"""Standard operators of ONNX whose softmax or normalisation is a unit, for ``new_ops``.

They take the place of ``Softmax``, ``Attention``, ``LayerNormalization`` and ``RMSNormalization``
in an evaluator of :mod:`onnx.reference`, in all versions that ONNX has of them.
"""

from __future__ import annotations

import math

import numpy as np
from onnx import NodeProto, defs, helper
from onnx.reference.op_run import OpRun

from .errors import AccuracyError
from .fitting import LayerRows
from .logits import NEVER
from .onnx_attention import Masks, attend
from .onnx_units import Units

__all__ = ["operators"]

# Version of ONNX's operators from which a softmax goes over one axis, not over all from it on.
ONE_AXIS = 13


class _Operator(OpRun):
    """Operator with a place in :attr:`units`.

    A class of each name is made for each model: an evaluator creates its objects by itself.
    """

    op_domain = ""
    units: Units

    def __init__(self, node: NodeProto, parameters: dict, schema: object = None) -> None:
        self._version = parameters["opsets"].get("", defs.onnx_opset_version())
        kind = type(self).__name__
        try:
            # By default ONNX takes the attributes of the last version.
            schema = defs.get_schema(kind, self._version, "")
        except defs.SchemaError:
            raise AccuracyError(f"Operator {kind} must be of a later opset than {self._version}, "
                                "which does not have it") from None
        super().__init__(node, parameters, schema)
        self._place = self.units.name(node.output[0])


class Softmax(_Operator):
    """``Softmax``: over any axis; elements of less than -9000 take no part, as masks have them.

    Logits of four axes have their heads on the second, where the softmax goes over the last one.
    """

    def _run(self, x, axis):
        if not x.size:
            return (x,)
        if not -x.ndim <= axis < x.ndim:
            raise AccuracyError(f"Attribute axis of {self._place} must be in {-x.ndim}.."
                                f"{x.ndim - 1}, not {axis}")
        if self._version < ONE_AXIS:
            rows = x.reshape(*x.shape[:axis % x.ndim], -1)
            axis = -1
        else:
            rows = np.moveaxis(x, axis, -1)
        shape = rows.shape
        if x.ndim != 4 or axis % x.ndim != 3 or len(shape) != 4:
            rows = rows.reshape(1, 1, -1, shape[-1])
        dead = rows < rows.dtype.type(NEVER)
        y = self.units.softmax(self._place, rows, dead if dead.any() else None)
        return (np.moveaxis(y.reshape(shape), -1, axis).reshape(x.shape).astype(x.dtype),)


class Attention(_Operator):
    """``Attention``: bias, soft cap and masks are applied before the softmax's quantiser."""

    def _run(self, q, k, v, attn_mask=None, past_key=None, past_value=None, nonpad_kv_seqlen=None,
             *, is_causal, kv_num_heads, q_num_heads, qk_matmul_output_mode, scale, softcap,
             softmax_precision, left_window_size=-1, right_window_size=-1):
        if (past_key is None) != (past_value is None):
            raise AccuracyError(f"Inputs past_key and past_value of {self._place} must come "
                                "together")
        precision = helper.tensor_dtype_to_np_dtype(softmax_precision) if softmax_precision \
            else None
        masks = Masks(attn_mask, bool(is_causal), left_window_size, right_window_size,
                      nonpad_kv_seqlen)
        return attend(lambda logits, dead: self.units.softmax(self._place, logits, dead), q, k, v,
                      masks, past_key, past_value, heads=(q_num_heads, kv_num_heads), scale=scale,
                      softcap=softcap or 0.0, precision=precision,
                      mode=qk_matmul_output_mode or 0)


class _Norm(_Operator):
    """Normalisation over all axes from ``axis`` on, which are the channels of the unit."""

    rms = False

    def _normalise(self, x, scale, bias, axis, epsilon):
        """Return rows of inputs and outputs (rows, channels), float64."""
        shape = x.shape[axis % x.ndim:]
        try:
            gamma = np.broadcast_to(scale, shape).astype(np.float64).ravel()
            beta = np.zeros(len(gamma)) if bias is None else \
                np.broadcast_to(bias, shape).astype(np.float64).ravel()
        except ValueError:
            raise AccuracyError(f"Scale and B of {self._place} must be of the channels {shape}, "
                                "the same for all rows") from None
        rows = x.reshape(-1, math.prod(shape)).astype(np.float64)
        return rows, self.units.layernorm(self._place, LayerRows(rows, gamma, beta, float(epsilon),
                                                                 self.rms))


class LayerNormalization(_Norm):
    """``LayerNormalization``; mean and deviation, which no unit puts out, are those of float."""

    def _run(self, x, scale, bias=None, *, axis, epsilon, stash_type):
        if not x.size:
            raise AccuracyError(f"Input X of {self._place} must not be empty")
        rows, y = self._normalise(x, scale, bias, axis, epsilon)
        stash = helper.tensor_dtype_to_np_dtype(stash_type)
        shape = (*x.shape[:axis % x.ndim], *[1] * (x.ndim - axis % x.ndim))
        deviation = np.sqrt(rows.var(axis=1) + float(epsilon))
        return (y.reshape(x.shape).astype(x.dtype), rows.mean(axis=1).reshape(shape).astype(stash),
                (1.0 / deviation).reshape(shape).astype(stash))


class RMSNormalization(_Norm):
    """``RMSNormalization``."""

    rms = True

    def _run(self, x, scale, *, axis, epsilon, stash_type):
        if not x.size:
            return (x,)
        _, y = self._normalise(x, scale, None, axis, epsilon)
        return (y.reshape(x.shape).astype(x.dtype),)


def operators(units: Units, softmax: bool, layernorm: bool) -> list[type[OpRun]]:
    """Return the operators of one model, which keep their places in ``units``."""
    bases = (Softmax, Attention) * softmax + (LayerNormalization, RMSNormalization) * layernorm
    # An evaluator goes by the name of the class.
    return [type(base.__name__, (base,), {"units": units}) for base in bases]
