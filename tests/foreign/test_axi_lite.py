"""A foreign judge of the registers: the AXI4-Lite master of cocotbext-axi, on a unit at work."""

import importlib.util
import json
import pathlib

import numpy as np
import pytest

import rtl
from rtl.emit import verilog
from sim import model
from sim.emission import emitted

HERE = pathlib.Path(__file__).parent

CONFIG = rtl.unit("softmax-e2")(lanes=3, max_length=20)


def job():
    """What to send, and what to expect."""
    random = np.random.default_rng(1)
    registers = verilog.control_of(CONFIG).registers
    rows = [random.integers(-128, 128, random.integers(1, 21)) for _ in range(6)]
    offsets = {register.name: register.offset for register in registers.registers}
    return {
        "offsets": offsets,
        "constants": {name: registers[name].reset for name in ("ID", "VERSION", "CONFIG_HASH")},
        "unmapped": [offset for offset in (0x20, 0x3C, 0x50, 0x100, 0xFFC)
                     if offset not in offsets.values()],
        "rows": [(row & 255).tolist() for row in rows],
        "expected": [model.run(CONFIG, row).tolist() for row in rows],
        "beats": sum(-(-len(row) // CONFIG.lanes) for row in rows),
        "long": [0] * 40,
        "errors": sum(field.mask for field in registers["ERRORS"].fields
                      if field.name in ("UNIT", "I_LONG")),
    }


@pytest.mark.parametrize("fault", [False, True], ids=["right", "fault"])
def test_cocotbext_axi(fault, tmp_path, monkeypatch, icarus):
    """With a wrong error bit expected, the judge has to find it."""
    if not (importlib.util.find_spec("cocotbext") and importlib.util.find_spec("cocotbext.axi")):
        pytest.skip("cocotbext-axi is not installed")
    from cocotb_tools.runner import get_results, get_runner
    wanted = job()
    wanted["errors"] ^= 4 * fault
    (tmp_path / "job.json").write_text(json.dumps(wanted))
    (tmp_path / "unit.v").write_text(emitted(CONFIG))
    (tmp_path / "axil.v").write_text(verilog.of_control(CONFIG))
    # Under pytest, cocotb's runner would end the process on a failure.
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    monkeypatch.syspath_prepend(str(HERE))
    top = f"{CONFIG.name}_axil"
    runner = get_runner("icarus")
    runner.build(sources=[tmp_path / "unit.v", tmp_path / "axil.v"], hdl_toplevel=top,
                 build_dir=tmp_path, timescale=("1ns", "1ps"), log_file=tmp_path / "build.log")
    results = runner.test(hdl_toplevel=top, test_module="cocotbext_axil", build_dir=tmp_path,
                          test_dir=tmp_path, extra_env={"JOB": str(tmp_path / "job.json")},
                          log_file=tmp_path / "test.log")
    assert get_results(results) == (2, fault), (tmp_path / "test.log").read_text()[-3000:]
