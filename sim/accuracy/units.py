"""Units as users name them: ``"softmax-e2:plus"``, ``"layernorm-exact:bits=10,lanes=16"``."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from rtl import ConfigError, UnitConfig, unit
from rtl.attention import AttentionConfig
from rtl.layernorm.config import LayerNormConfig
from rtl.softmax.config import SoftmaxConfig

from .errors import AccuracyError

__all__ = ["ATTENTION_SCALES", "attention_parameters", "layernorm_parameters", "of_width",
           "parse_units", "softmax_config", "with_length"]

#: What a calibration finds for each attention, unless it is given.
ATTENTION_SCALES = ("query_scale", "key_scale", "value_scale", "logit_scale", "output_scale")

# What a calibration finds for each layer.
FITTED = ("zero_point", "alpha", "channels", "gamma", "gamma_fraction_bits", "output_scale",
          "epsilon", "beta", "beta_fraction_bits", "rms")


def parse_units(text: str) -> dict[str, str]:
    """Return the arguments of ``approximate`` for ``"softmax-e2:plus+layernorm-ai"``."""
    found: dict[str, str] = {}
    for part in text.split("+"):
        kind = part.partition(":")[0].partition("-")[0]
        if kind not in ("softmax", "layernorm", "attention") or kind in found:
            raise AccuracyError(f"Units {text!r} must be a softmax, an attention, a LayerNorm, or "
                                "a LayerNorm and one of the others joined by +")
        found[kind] = part
    if "softmax" in found and "attention" in found:
        raise AccuracyError(f"Units {text!r} must be a softmax or an attention, which has its own")
    return found


def with_length(text: str, length: int) -> str:
    """Return a softmax unit for rows of ``length``, if it does not say its own ``max_length``."""
    return text if "max_length=" in text else _with(text, max_length=length)


def of_width(text: str, bits: int) -> str:
    """Return units with inputs and outputs of ``bits`` bits.

    Raises
    ------
    AccuracyError
        If one of them does not take that width.
    """
    parts = {kind: _with(part, bits=bits, out_bits=bits)
             for kind, part in parse_units(text).items()}
    checks = {"softmax": softmax_config, "layernorm": layernorm_parameters,
              "attention": attention_parameters}
    for kind, part in parts.items():
        checks[kind](part)
    return "+".join(parts.values())


def softmax_config(wanted: str | UnitConfig) -> tuple[UnitConfig, bool]:
    """Return the config of a softmax, and whether its step is the caller's own choice."""
    if isinstance(wanted, UnitConfig):
        config, fixed = wanted, True
    else:
        name, values = _parsed(wanted, "softmax")
        config, fixed = _built(name, values), "input_scale" in values
    if not isinstance(config, SoftmaxConfig):
        raise AccuracyError(f"Argument softmax must be a softmax unit, not {config.UNIT}")
    return config, fixed


def layernorm_parameters(wanted: str | UnitConfig) -> tuple[str, int, dict[str, Any]]:
    """Return name, width of the outputs and given parameters, without those of a layer."""
    if isinstance(wanted, UnitConfig):
        config = wanted
    else:
        name, values = _parsed(wanted, "layernorm")
        fitted = sorted(set(values) & set(FITTED) - {"rms"})
        if fitted:
            raise AccuracyError(f"Argument layernorm must not set {fitted[0]}: calibration finds "
                                "it for each layer")
        config = _built(name, values)
    if not isinstance(config, LayerNormConfig):
        raise AccuracyError(f"Argument layernorm must be a LayerNorm unit, not {config.UNIT}")
    if config.loaded or config.variable:
        raise AccuracyError("Argument layernorm must have fixed channel_parameters and row_length: "
                            "each layer has a unit of its own")
    if isinstance(wanted, UnitConfig):
        default = type(config)()
        values = {key: value for key, value in dataclasses.asdict(config).items()
                  if key not in FITTED and value != getattr(default, key)}
    values.pop("out_bits", None)
    return config.UNIT, config.out_bits, values


def attention_parameters(wanted: str | UnitConfig) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the parameters of an engine, and which scales are the caller's own choice.

    ``dim``, ``value_dim``, ``io_lanes`` and ``causal`` are left out unless they are given: they are
    the model's.
    """
    given: set[str] = set()
    if isinstance(wanted, UnitConfig):
        config = wanted
        given = {"dim", "value_dim", "io_lanes"}
    else:
        name, values = _parsed(wanted, "attention")
        config, given = _built(name, values), set(values)
    if not isinstance(config, AttentionConfig):
        raise AccuracyError(f"Argument attention must be an attention unit, not {config.UNIT}")
    models = {"dim", "value_dim", "io_lanes", "causal"} - given
    parameters = {key: value for key, value in config.to_dict().items()
                  if key != "unit" and key not in models}
    return parameters, tuple(name for name in ATTENTION_SCALES if name in given)


def _parsed(text: object, argument: str) -> tuple[str, dict[str, Any]]:
    if not isinstance(text, str):
        raise AccuracyError(f"Argument {argument} must be a unit's name, as 'softmax-e2:plus', or "
                            f"a configuration, not {text!r}")
    name, _, rest = text.partition(":")
    values: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, equal, value = part.partition("=")
        if not equal:
            key, value = "preset", key
        try:
            values[key] = json.loads(value)
        except json.JSONDecodeError:
            values[key] = value
    return name, values


def _with(text: str, **values: int) -> str:
    name, colon, rest = text.partition(":")
    given = [part for part in rest.split(",") if part and part.partition("=")[0] not in values]
    return f"{name}:{','.join([*given, *(f'{key}={value}' for key, value in values.items())])}"


def _built(name: str, values: dict[str, Any]) -> UnitConfig:
    try:
        unit(name)
        return UnitConfig.from_dict({"unit": name, **values})
    except ConfigError as error:
        raise AccuracyError(str(error)) from None

