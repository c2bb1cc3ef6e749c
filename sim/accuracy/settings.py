"""Settings of a model's units: configurations and scales, as JSON or TOML.

Tables: ``softmax`` with the unit's parameters; ``heads`` with the offsets of each attention, by the
module's name; ``attention`` with parameters and scales of the engines of each module, whose heads
have one each or all the same; ``layernorm`` with parameters and steps of input and output of each
module.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import tomllib
from typing import Any

from rtl import UnitConfig
from rtl.generate import generate
from rtl.publish import publish

from ..model.attention import SCALES
from .errors import AccuracyError

__all__ = ["NormSettings", "Settings"]


@dataclasses.dataclass(frozen=True)
class NormSettings:
    """Unit of one LayerNorm.

    Attributes
    ----------
    config : LayerNormConfig
        Unit.
    input_steps, output_steps : tuples of float, one per channel
        Real value of a step of the input and of the output in each channel.
    input_offset : float
        Real value of the zero point.
    """

    config: UnitConfig
    input_steps: tuple[float, ...]
    output_steps: tuple[float, ...]
    input_offset: float = 0.0


@dataclasses.dataclass(frozen=True)
class Settings:
    """Units of a model.

    Attributes
    ----------
    softmax : SoftmaxConfig or None
        Unit of all softmaxes, if they are replaced.
    heads : dict
        Offsets of each attention, by the module's name: one a head, or one in all.
    layernorm : dict
        Unit of each LayerNorm that is replaced, by the module's name.
    attention : dict
        Engines of each attention that is replaced, by the module's name: one in all, or one a head.
        They differ in their scales only.
    """

    softmax: UnitConfig | None = None
    heads: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    layernorm: dict[str, NormSettings] = dataclasses.field(default_factory=dict)
    attention: dict[str, tuple[UnitConfig, ...]] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values."""
        result: dict[str, Any] = {}
        if self.softmax is not None:
            result["softmax"] = {"module": self.softmax.name, **self.softmax.to_dict()}
            result["heads"] = {name: {"offsets": list(offsets)}
                               for name, offsets in self.heads.items()}
        if self.attention:
            result["attention"] = {
                name: {"module": [_emitted(config).name for config in configs],
                       **configs[0].to_dict(),
                       **{scale: [getattr(config, scale) for config in configs]
                          for scale in SCALES}}
                for name, configs in self.attention.items()}
        result["layernorm"] = {
            name: {"module": norm.config.name, **norm.config.to_dict(),
                   "input_steps": list(norm.input_steps), "output_steps": list(norm.output_steps),
                   "input_offset": norm.input_offset}
            for name, norm in self.layernorm.items()}
        return result

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Settings:
        """Build the settings that :meth:`to_dict` has returned."""
        try:
            softmax = values.get("softmax")
            heads = {name: tuple(map(int, entry["offsets"]))
                     for name, entry in values.get("heads", {}).items()}
            layernorm = {}
            for name, entry in values.get("layernorm", {}).items():
                steps = {key: tuple(map(float, entry[key]))
                         for key in ("input_steps", "output_steps")}
                offset = float(entry["input_offset"])
                config = _config({key: value for key, value in entry.items()
                                  if key not in (*steps, "input_offset")})
                layernorm[name] = NormSettings(config, **steps, input_offset=offset)
            attention = {name: tuple(
                _config({**entry, **dict(zip(SCALES, scales, strict=True))})
                for scales in zip(*(map(float, entry[scale]) for scale in SCALES), strict=True))
                for name, entry in values.get("attention", {}).items()}
            return Settings(None if softmax is None else _config(softmax), heads, layernorm,
                            attention)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise AccuracyError(f"Settings are damaged: {error}") from None

    def to_json(self) -> str:
        """Return JSON text."""
        return json.dumps(self.to_dict(), indent=1) + "\n"

    def to_toml(self) -> str:
        """Return TOML text."""
        lines = []
        for kind, table in self.to_dict().items():
            tables = {f"[{kind}]": table} if kind == "softmax" else {
                f"[{kind}.{json.dumps(name)}]": entry for name, entry in table.items()}
            for header, entry in tables.items():
                lines += [header, *(f"{key} = {json.dumps(value)}"
                                    for key, value in entry.items()), ""]
        return "\n".join(lines)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a ``.json`` or ``.toml`` file, whole or not at all."""
        path = pathlib.Path(path)
        text = {".json": self.to_json, ".toml": self.to_toml}.get(path.suffix)
        if text is None:
            raise AccuracyError(f"Settings file must end in .toml or .json, not {str(path)!r}")
        publish(path.parent, {path.name: text()})

    def emit(self, folder: str | os.PathLike[str]) -> list[pathlib.Path]:
        """Generate the units as Verilog, and save the settings as ``scales.json`` beside them.

        Engines with scales at run time are one for all heads that differ in their scales only.

        Returns
        -------
        list of paths
            Folder of each unit, then the file of scales.
        """
        engines = [_emitted(config) for configs in self.attention.values() for config in configs]
        configs = {config.name: config for config in (
            *engines, *(norm.config for norm in self.layernorm.values()))}
        if self.softmax is not None:
            configs = {self.softmax.name: self.softmax, **configs}
        folder = pathlib.Path(folder)
        for config in configs.values():
            generate(config, folder)
        self.save(folder / "scales.json")
        return [*(folder / name for name in configs), folder / "scales.json"]

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Settings:
        """Read a file that :meth:`save` has written."""
        path = pathlib.Path(path)
        reader = {".json": json.loads, ".toml": tomllib.loads}.get(path.suffix)
        if reader is None:
            raise AccuracyError(f"Settings file must end in .toml or .json, not {str(path)!r}")
        try:
            return Settings.from_dict(reader(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise AccuracyError(f"Settings file {str(path)!r} can not be read: "
                                f"{error.strerror}") from None
        except (json.JSONDecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise AccuracyError(f"Settings file {str(path)!r} is damaged: {error}") from None


def _emitted(config: UnitConfig) -> UnitConfig:
    """Configuration that an engine is generated from: scales at run time are none of it."""
    if not config.run_time:
        return config
    default = type(config)()
    return dataclasses.replace(config, **{name: getattr(default, name) for name in SCALES})


def _config(values: dict[str, Any]) -> UnitConfig:
    return UnitConfig.from_dict({key: value for key, value in values.items() if key != "module"})
