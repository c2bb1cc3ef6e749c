"""Every preset of every unit, as small as it goes."""

import rtl
from rtl import UnitConfig

__all__ = ["PRESETS", "small"]

#: Every unit with each of its presets.
PRESETS = [(unit, preset) for unit in rtl.units() for preset in rtl.unit(unit).PRESETS]

_SIZES = {"lanes": 2, "max_length": 10, "channels": 10, "dim": 4, "io_lanes": 2, "max_keys": 9,
          "prefix_dims": 2, "scan_lanes": 4, "max_vocab": 9, "port_bits": 64}
_ONE_LANE = "predict", "conservative", "aggressive", "reuse"


def small(unit: str, preset: str, **parameters: object) -> UnitConfig:
    """Return a preset of a unit for short rows, or small sets, on few lanes."""
    cls = rtl.unit(unit)
    sizes = {name: size for name, size in _SIZES.items() if name in cls.parameters()}
    if preset in _ONE_LANE:
        sizes["lanes"] = 1
    return cls.preset(preset, **{**sizes, **parameters})
