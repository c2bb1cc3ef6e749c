"""The overlay: compiled by dtc, applied onto a base tree, validated by dtschema."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from boards.linux.device_tree import COMPILE, Memory, overlay
from rtl.config import ConfigError

# As a Zynq's tree in Linux, as far as the overlay touches it.
BASE = """\
/dts-v1/;
/ {
  #address-cells = <1>; #size-cells = <1>;
  compatible = "xlnx,zynq-7000"; model = "base";
  memory@0 { device_type = "memory"; reg = <0x0 0x20000000>; };
  BUS {
    compatible = "simple-bus"; #address-cells = <1>; #size-cells = <1>; ranges;
    interrupt-parent = <&intc>;
    intc: interrupt-controller@f8f01000 {
      compatible = "arm,cortex-a9-gic"; #interrupt-cells = <3>; #address-cells = <0>;
      interrupt-controller; reg = <0xf8f01000 0x1000>, <0xf8f00100 0x100>;
    };
    slcr@f8000000 {
      compatible = "xlnx,zynq-slcr", "syscon", "simple-mfd"; reg = <0xf8000000 0x1000>;
      #address-cells = <1>; #size-cells = <1>; ranges;
      clkc@100 { compatible = "xlnx,ps7-clkc"; reg = <0x100 0x100>; fclk-enable = <0>; };
    };
  };
};
"""


def dtc(*words, text=None):
    if shutil.which("dtc") is None:
        pytest.skip("dtc is not installed: apt-get install device-tree-compiler")
    done = subprocess.run(words, input=text, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


@pytest.fixture
def merge(tmp_path):
    """Apply an overlay onto the base tree, whose bus has a name; path of the result."""
    def merge(source, bus="axi"):
        dtc("dtc", "-O", "dtb", "-o", f"{tmp_path}/base.dtb", text=BASE.replace("BUS", bus))
        dtc("dtc", *COMPILE, "-o", f"{tmp_path}/unit.dtbo", text=source)
        dtc("fdtoverlay", "-i", f"{tmp_path}/base.dtb", "-o", f"{tmp_path}/system.dtb",
            f"{tmp_path}/unit.dtbo")
        return tmp_path / "system.dtb"
    return merge


def value(tree, node, name):
    return dtc("fdtget", "-t", "x", str(tree), node, name).split()


def text(tree, node, name):
    return dtc("fdtget", str(tree), node, name).strip()


@pytest.mark.parametrize("bus", ["axi", "amba"])
def test_applied(merge, bus):
    """Registers and interrupt at the bus, memory with a reference to it; the base stays."""
    tree = merge(overlay("unit", Memory(0x10000000, 0x800000), f"/{bus}"), bus)
    unit = f"/{bus}/unit@43c00000"
    assert text(tree, unit, "compatible") == "generic-uio"
    assert value(tree, unit, "reg") == ["43c00000", "1000"]
    assert value(tree, unit, "interrupts") == ["0", "1d", "4"]
    memory = "/reserved-memory/memory@10000000"
    assert value(tree, memory, "reg") == ["10000000", "800000"]
    assert text(tree, memory, "compatible") == "shared-dma-pool"
    assert value(tree, "/udmabuf", "memory-region") == value(tree, memory, "phandle")
    assert value(tree, "/udmabuf", "size") == ["800000"]
    assert text(tree, "/udmabuf", "device-name") == "udmabuf0"
    assert text(tree, "/", "model") == "base"
    # The clock of the logic, which Linux would stop.
    assert value(tree, f"/{bus}/slcr@f8000000/clkc@100", "fclk-enable") == ["1"]


def test_schemas(merge):
    """Validated against the public schemas, which lack the two drivers' own properties."""
    validate = Path(sys.executable).with_name("dt-validate")
    if not validate.exists():
        pytest.skip("dtschema is not installed: pip install -e '.[test]'")
    done = subprocess.run([validate, merge(overlay("unit", Memory()))], capture_output=True,
                          text=True)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "dt-core" not in line]
    assert [line.partition("): ")[2].partition(":")[0] for line in sorted(lines)] == [
        "fclk-enable", "device-name"], lines


@pytest.mark.parametrize("arguments, message", [
    ((0x1C000001, 4 << 20), "Memory address must be a multiple of 0x400000, not 0x1c000001"),
    ((0x1C000000, 4096), "Memory size must be a multiple of 0x400000, not 0x1000"),
    ((0x1C000000, 0), "Memory size must be"), ((-(4 << 20), 4 << 20), "Memory address must be"),
    ((0x3FC00000, 8 << 20), "Memory must end below 0x40000000"),
])
def test_wrong_memory(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Memory(*arguments)


def test_wrong_bus():
    with pytest.raises(ConfigError, match="Bus must be the path of a node, such as /axi, not "):
        overlay("unit", Memory(), "axi")
