"""Script that FuseSoC runs: writes the unit that a core asks for, and a core of it.

FuseSoC hands over a YAML file with ``vlnv``, the name of the core to make, and ``parameters``:
``unit``, optionally ``preset``, ``control`` and ``user``, and the parameters of the unit. The
working folder is that of the core to make.
"""

from __future__ import annotations

import sys
from pathlib import Path

# A requirement of FuseSoC, so it is where FuseSoC is.
import yaml

from rtl.bus.dma_unit import USERS
from rtl.config import ConfigError, UnitConfig
from rtl.emit import files
from rtl.emit.packages import fusesoc
from rtl.emit.yosys import YosysError
from rtl.generate import generate

__all__ = ["main"]


def main(argv: list[str]) -> int:
    """Generate what a file asks for, and return the exit status."""
    try:
        request = yaml.safe_load(Path(argv[0]).read_text(encoding="utf-8"))
        values = dict(request["parameters"])
        control = values.pop("control", "none")
        if control not in files.CONTROLS:
            raise ConfigError(f"Parameter control must be one of {', '.join(files.CONTROLS)}, "
                              f"not {control!r}")
        user = values.pop("user", "constant")
        if user not in USERS:
            raise ConfigError(f"Parameter user must be one of {', '.join(USERS)}, not {user!r}")
        config = UnitConfig.from_dict(values)
        generate(config, ".", control=control, user=user)
    except (ConfigError, YosysError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    name = request["vlnv"]
    Path(f"{name.split(':')[2]}.core").write_text(fusesoc.alias(config, name), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
