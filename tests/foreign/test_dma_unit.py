"""A foreign judge of a unit with DMA: master and memory of cocotbext-axi, with random pauses."""

import importlib.util
import json
import pathlib

import numpy as np
import pytest

import rtl
from boards.driver.packing import packed_users
from rtl.bus.dma_unit import MEMORY
from rtl.emit import files, verilog
from sim import model

HERE = pathlib.Path(__file__).parent

CONFIG = rtl.unit("softmax-e2")(lanes=3, max_length=40)

# Signals as AXI4 has them: one bit of lock, eight of length.
WIDTHS = {"awlen": 8, "arlen": 8, "awlock": 1, "arlock": 1}


def wrapped(unit):
    """A module around the unit whose memory bus is one of AXI4."""
    ports, links, constants = [], [], []
    for name, member in unit.signature.members.items():
        if name == "m_axi_wid":
            continue
        direction = "input" if member.flow.name == "In" else "output"
        width = WIDTHS.get(name.removeprefix("m_axi_"), getattr(unit, name).shape().width)
        own = getattr(unit, name).shape().width
        ports.append(f"{direction} [{width - 1}:0] {name}")
        links.append(f".{name}({name}[{min(width, own) - 1}:0])")
        if width > own:
            constants.append(f"  assign {name}[{width - 1}:{own}] = 0;")
    return (f"module top({', '.join(ports)});\n  {CONFIG.name}_dma unit({', '.join(links)});\n"
            + "\n".join(constants) + "\nendmodule\n")


@pytest.mark.slow
@pytest.mark.parametrize("fault", [False, True], ids=["right", "fault"])
def test_rows(fault, tmp_path, monkeypatch, icarus):
    if not (importlib.util.find_spec("cocotbext") and importlib.util.find_spec("cocotbext.axi")):
        pytest.skip("cocotbext-axi is not installed")
    from cocotb_tools.runner import get_results, get_runner
    random = np.random.default_rng(1)
    x, mask = random.integers(-128, 128, (4, 37)), random.random((4, 37)) < 0.3
    expected = model.run(CONFIG, x, mask)
    expected[2, 5] ^= fault
    unit = verilog.dma_of(CONFIG, "memory")
    job = {"offsets": {each.name: each.offset for each in unit.registers.registers},
           "places": {"DMA_O": (0x9FE0, 48), "DMA_I_USER": (0x4FF8, 24), "DMA_I": (0x1FC8, 40)},
           "inputs": {"DMA_I": (x & 255).tolist(), "DMA_I_USER": packed_users(mask, 3).tolist()},
           "expected": expected.tolist()}
    texts = files.unit_files(CONFIG, "axi-dma", "memory")
    (tmp_path / "job.json").write_text(json.dumps(job))
    (tmp_path / "design.v").write_text(
        "".join(texts[name] for name in files.sources(CONFIG, "axi-dma")) + wrapped(unit))
    # Under pytest, cocotb's runner would end the process on a failure.
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    monkeypatch.syspath_prepend(str(HERE))
    runner = get_runner("icarus")
    runner.build(sources=[tmp_path / "design.v"], hdl_toplevel="top", build_dir=tmp_path,
                 timescale=("1ns", "1ps"), log_file=tmp_path / "build.log")
    results = runner.test(hdl_toplevel="top", test_module="cocotbext_dma_unit",
                          build_dir=tmp_path, test_dir=tmp_path,
                          extra_env={"JOB": str(tmp_path / "job.json")},
                          log_file=tmp_path / "test.log")
    assert get_results(results) == (1, fault), (tmp_path / "test.log").read_text()[-3000:]
    assert len(MEMORY) == sum(name.startswith("m_axi_") for name in unit.signature.members)
