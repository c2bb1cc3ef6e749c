"""The whole system in a simulator: the emitted top, and software in Python and as ARM code."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import rtl
from boards.zynq7 import sources, top, zynq_files
from boards.zynq7.ps7 import ps7_ports
from rtl.attention.parameters import SetParameters
from sim import model
from sim.model.attention.resident import Append, Head, Query, ResidentSets, Truncate
from sim.stimuli.svd import random_image, random_vectors
from sim.testing.small import small

HERE = pathlib.Path(__file__).parent

CELLS = """
module BUFG(input I, output O);
  assign O = I;
endmodule
"""


def cell():
    """A PS7 whose outputs a test bench drives; its first clock runs by itself."""
    lines = ["`timescale 1 ns / 1 ps", CELLS, "module PS7("]
    lines.append(",\n".join(
        f"  {direction} {'reg ' if direction == 'output' and name != 'FCLKCLK' else ''}"
        f"[{width - 1}:0] {name}" for name, (direction, width) in ps7_ports().items()))
    lines += [");", "  reg clock = 0;", "  always #5 clock = ~clock;",
              "  assign FCLKCLK = {3'b0, clock};", "  initial begin"]
    lines += [f"    {name} = 0;" for name, (direction, _) in ps7_ports().items()
              if direction == "output" and name != "FCLKCLK"]
    return "\n".join([*lines, "  end", "endmodule", ""])


def compile_arm(folder, config):
    """The driver and its program as ARM code."""
    flags = ["-DSVD_UNIT"] if config.UNIT == "svd-softmax" else []
    if config.UNIT == "attention":
        flags = ["-DSETS_UNIT" if config.store == "resident" else "-DATTENTION_UNIT"]
    subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", "-target", "arm-freestanding-eabihf",
         "-mcpu=cortex_a9", "-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-nostdlib",
         "-I", str(folder), f"-DUNIT={config.name.upper()}",
         f'-DUNIT_HEADER="{config.name}.h"', *flags, "-T", str(HERE / "program.ld"),
         str(HERE / "program.c"), "-o", str(folder / "program.elf")], check=True, cwd=folder)


def prepare(folder, config, arrays):
    """Files of a top, and what goes through it."""
    for module in "unicorn", "ziglang", "elftools":
        pytest.importorskip(module, reason=f"{module} is not installed: pip install -e '.[test]'")
    for name, text in zynq_files(config).items():
        (folder / name).write_text(text)
    (folder / "cells.v").write_text(cell())
    np.savez(folder / "arrays.npz", **arrays)


def simulate(folder, config, monkeypatch, module="system_bench", **environment):
    """Tests that ran and failed in the simulator."""
    from cocotb_tools.runner import get_results, get_runner
    # Under pytest, cocotb's runner would end the process on a failure.
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    monkeypatch.syspath_prepend(str(HERE))
    runner = get_runner("icarus")
    runner.build(sources=[folder / name for name in (*sources(config), "cells.v")],
                 hdl_toplevel=top(config), build_dir=folder, timescale=("1ns", "1ps"),
                 log_file=folder / "build.log")
    results = runner.test(hdl_toplevel=top(config), test_module=module, build_dir=folder,
                          test_dir=folder, extra_env={"FOLDER": str(folder), **environment},
                          log_file=folder / "test.log")
    return get_results(results), (folder / "test.log").read_text()


def softmax():
    config = rtl.unit("softmax-e2")(lanes=8, max_length=64)
    x = np.random.default_rng(1).integers(-128, 128, (5, 43))
    return config, {"x": x, "y": model.run(config, x)}


def layernorm():
    config = rtl.unit("layernorm-ai")(lanes=3, channels=20)
    x = np.random.default_rng(1).integers(0, 256, (4, 20))
    return config, {"x": x, "y": model.run(config, x)}


def scales(config, count):
    """Parameters of sets or heads."""
    return [SetParameters.of(config, query_scale=0.002 + 0.01 * n, offset=5 * n)
            for n in range(count)]


def attention():
    config = rtl.unit("attention")(max_keys=8, dim=4, io_lanes=2, scales="run-time")
    random = np.random.default_rng(1)
    q, k, v = (random.integers(-128, 128, (2, n, 4)) for n in (3, 7, 7))
    own = scales(config, 2)
    return config, {"q": q, "k": k, "v": v, "p": np.array([each.words for each in own]),
                    "y": model.run(config, q, k, v, parameters=own)}


def decoding():
    """Tokens of two heads that share a ring, longer than it: a prompt, then one by one."""
    config = rtl.unit("attention")(
        store="resident", scales="run-time", causal=True, max_keys=6, dim=8, io_lanes=4, lanes=2,
        window=3, sinks=1, sets=2, heads=2)
    random = np.random.default_rng(1)
    k, v, q = (random.integers(-128, 128, (7, *shape, 8)) for shape in ((), (), (2,)))
    own = scales(config, 2)
    sets = ResidentSets(config, config.regions, [Head(each.logit, each.output) for each in own])
    sets.execute(Append(0, k[:4], v[:4]))
    for n in range(4, 7):
        sets.execute(Append(0, k[n:n + 1], v[n:n + 1]))
        for head in range(2):
            sets.execute(Query(0, q[n, head][None], n, head))
    y = np.zeros(q.shape, int)
    y[4:] = np.reshape([each.y for each in sets.answers], (3, 2, 8))
    assert not any(each.marked.any() for each in sets.answers)
    sets.execute(Truncate(0, 6))
    sets.execute(Query(0, q[0, :1], 5, 1))
    y[0, 0] = sets.answers[-1].y[0]
    return config, {"k": k, "v": v, "q": q, "p": np.array([each.words for each in own]), "y": y}


@pytest.mark.slow
@pytest.mark.parametrize("unit", [softmax, layernorm, attention, decoding],
                         ids=lambda unit: unit.__name__)
def test_system(unit, tmp_path, monkeypatch, icarus):
    """Python and ARM code get what the model says, GP0 takes any burst, faults are survived."""
    config, arrays = unit()
    prepare(tmp_path, config, arrays)
    compile_arm(tmp_path, config)
    # What does not depend on the unit is tested with the first one.
    tests = "" if unit is softmax else "python_driver|arm_program"
    results, log = simulate(tmp_path, config, monkeypatch, COCOTB_TEST_FILTER=tests)
    assert results == ((5 if unit is softmax else 2), 0), log[-4000:]
    if unit is softmax:
        # The bench finds one that is wrong.
        assert simulate(tmp_path, config, monkeypatch, FAULT="1",
                        COCOTB_TEST_FILTER="python_driver")[0] == (1, 1)


@pytest.mark.slow
def test_svd_softmax(tmp_path, monkeypatch, icarus):
    """The unit that reads memory by itself: an image loaded, vectors in batches, faults."""
    config = small("svd-softmax", "plus", dim=5, port_bits=128)
    random = np.random.default_rng(1)
    image = dataclasses.replace(random_image(config, random, words=9, columns=3), count=4)
    x = random_vectors(config, random, 3)
    y = model.run(config, x, image)
    prepare(tmp_path, config, {"image": np.frombuffer(image.pack(config), np.uint8), "x": x,
                               **{name: value for name, value in y._asdict().items()
                                  if value is not None}})
    compile_arm(tmp_path, config)
    results, log = simulate(tmp_path, config, monkeypatch, "svd_bench")
    assert results == (2, 0), log[-4000:]


@pytest.mark.slow
def test_throughput(tmp_path, monkeypatch, icarus):
    """90 % of HP0's 8 bytes a cycle, from memory that answers after 30 to 60 cycles.

    With THROUGHPUT_KIB=1024 in the environment, of a MiB.
    """
    rows = int(os.environ.get("THROUGHPUT_KIB", "96"))
    config = rtl.unit("softmax-e2")(lanes=8, max_length=1024)
    x = np.random.default_rng(1).integers(-128, 128, (rows, 1024))
    prepare(tmp_path, config, {"x": x, "y": model.run(config, x)})
    results, log = simulate(tmp_path, config, monkeypatch, THROUGHPUT="1",
                            COCOTB_TEST_FILTER="throughput")
    assert results == (1, 0), log[-4000:]
    assert json.loads((tmp_path / "throughput.json").read_text())["share"] >= 0.9
