"""Foreign judges of the AXI4-Stream ports: benches that share no code with the project's own.

What they share with it are the rows and what the model says of them, as numbers in files.
"""

import importlib.util
import json
import pathlib
import shutil
import subprocess

import numpy as np
import pytest

import rtl
from sim import model
from sim.emission import emitted

HERE = pathlib.Path(__file__).parent

CONFIGS = [
    rtl.unit("softmax-e2")(lanes=3, max_length=20),
    rtl.unit("softmax-rexp")(lanes=2, max_length=20, bits=10, out_bits=12),
    rtl.unit("layernorm-ai")(lanes=4, channels=18, gamma=range(-9, 9), beta=range(18)),
]


def rows(config, count=40):
    """Elements and, of softmax, masks of random rows."""
    random = np.random.default_rng(1)
    softmax = config.UNIT.startswith("softmax-")
    low, high = (-(1 << config.bits - 1), (1 << config.bits - 1) - 1) if softmax else \
        (0, (1 << config.bits) - 1)
    for _ in range(count):
        length = int(random.integers(1, config.max_length + 1)) if softmax else config.channels
        mask = random.random(length) < 0.2 if softmax else None
        yield random.integers(low, high + 1, length), mask


def size(bits):
    """Bytes of an element in TDATA."""
    return 1 if bits <= 8 else 2 if bits <= 16 else 4


def packed(values, width):
    """Bytes of elements, lowest first."""
    return [int(value) >> 8 * k & 255 for value in values for k in range(width)]


@pytest.fixture
def icarus():
    if shutil.which("iverilog") is None:
        pytest.skip("iverilog is not installed")


# Plain Verilog ----------------------------------------------------------------------------------

def beats(values, width, lanes, mask=None):
    """Words of the beats of a row: {mask,} keep, last, data."""
    for start in range(0, len(values), lanes):
        part = packed(values[start:start + lanes], width)
        word = sum(byte << 8 * k for k, byte in enumerate(part))
        word |= int(start + lanes >= len(values)) << 8 * lanes * width
        word |= ((1 << len(part)) - 1) << 8 * lanes * width + 1
        if mask is not None:
            bits = sum(int(bit) << k for k, bit in enumerate(mask[start:start + lanes]))
            word |= bits << 9 * lanes * width + 1
        yield word


@pytest.mark.parametrize("config", CONFIGS[::2], ids=lambda config: config.name)
@pytest.mark.parametrize("fault", [False, True], ids=["right", "fault"])
def test_plain_verilog(config, fault, tmp_path, icarus):
    """A bench without Python; one wrong bit in what is expected has to be found."""
    ins, outs = size(config.bits), size(config.out_bits)
    words, expected = [], []
    for x, mask in rows(config):
        words += beats(x, ins, config.lanes, mask)
        y = model.run(config, x) if mask is None else model.run(config, x, mask)
        expected += beats(y, outs, config.lanes)
    expected[-1] ^= fault
    for name, lines in ("words", words), ("expected", expected):
        (tmp_path / f"{name}.hex").write_text("".join(f"{word:x}\n" for word in lines))
    (tmp_path / "design.v").write_text(emitted(config))
    macros = {"DUT": f"{config.name}_axis", "IN": config.lanes * ins, "OUT": config.lanes * outs,
              "BEATS": len(words), "SEED": 7}
    if "mask" in config.input_layout.members:
        macros["USER"] = config.lanes
    subprocess.run(["iverilog", "-g2001", "-Wall", "-o", "bench", "-s", "bench",
                    *(f"-D{name}={value}" for name, value in macros.items()),
                    "design.v", HERE / "bench.v"], cwd=tmp_path, check=True)
    done = subprocess.run(["vvp", "-n", "bench"], cwd=tmp_path, check=True, capture_output=True,
                          text=True)
    lines = done.stdout.splitlines()
    if fault:
        assert len([line for line in lines if "wrong beat" in line]) == 1
    else:
        assert f"PASS {len(words)} beats" in lines and not any("FAIL" in line for line in lines)


# cocotbext-axi ----------------------------------------------------------------------------------

@pytest.mark.parametrize("config, fault", [*((config, 0) for config in CONFIGS), (CONFIGS[0], 1)],
                         ids=lambda value: getattr(value, "name", None))
def test_cocotbext_axi(config, fault, tmp_path, monkeypatch, icarus):
    """Rows of three units; one wrong bit in what is expected has to be found."""
    if not (importlib.util.find_spec("cocotbext") and importlib.util.find_spec("cocotbext.axi")):
        pytest.skip("cocotbext-axi is not installed")
    from cocotb_tools.runner import get_results, get_runner
    ins, outs = size(config.bits), size(config.out_bits)
    job = []
    for x, mask in rows(config):
        y = model.run(config, x) if mask is None else model.run(config, x, mask)
        user = []
        for start in range(0, len(x) if mask is not None else 0, config.lanes):
            part = mask[start:start + config.lanes]
            # TUSER of a beat is what its last byte has.
            user += [sum(int(bit) << k for k, bit in enumerate(part))] * (len(part) * ins)
        job.append({"data": packed(x, ins), "user": user, "expected": packed(y, outs)})
    job[-1]["expected"][-1] ^= fault
    (tmp_path / "rows.json").write_text(json.dumps(job))
    (tmp_path / "design.v").write_text(emitted(config))
    # Under pytest, cocotb's runner would end the process on a failure.
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    monkeypatch.syspath_prepend(str(HERE))
    top = f"{config.name}_axis"
    runner = get_runner("icarus")
    runner.build(sources=[tmp_path / "design.v"], hdl_toplevel=top, build_dir=tmp_path,
                 timescale=("1ns", "1ps"), log_file=tmp_path / "build.log")
    results = runner.test(hdl_toplevel=top, test_module="cocotbext_axi", build_dir=tmp_path,
                          test_dir=tmp_path, extra_env={"ROWS": str(tmp_path / "rows.json")},
                          log_file=tmp_path / "test.log")
    assert get_results(results) == (1, fault), (tmp_path / "test.log").read_text()[-3000:]
