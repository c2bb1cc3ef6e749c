"""Emitted units behind a serial line: the host's own code at the pins, in Icarus."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

import rtl
from boards.serial import emission
from boards.serial.link import OUTPUT_DEPTH
from rtl.config import ConfigError
from rtl.emit import verilog
from sim import model
from sim.bench.rows import formats
from sim.stimuli.svd import random_image, random_vectors
from sim.testbench.vectors import vectors
from sim.testing.passthrough import iverilog, verilator
from sim.testing.small import small

ROOT = pathlib.Path(__file__).parents[3]
DIVISOR = 4


def rows(config, count):
    """Rows with masks as packets, and what comes back."""
    random = np.random.default_rng(1)
    lengths = [config.max_length, 1, *random.integers(1, config.max_length + 1, count - 2)]
    packets, expected = [], []
    for length in lengths:
        row, mask = random.integers(-128, 128, length), random.random(length) < 0.3
        beats = [mask[start:start + config.lanes] for start in range(0, length, config.lanes)]
        user = bytes(sum(int(bit) << k for k, bit in enumerate(beat)) for beat in beats)
        packets.append(("i", row.astype(np.int8).tobytes().hex(), user.hex()))
        expected.append(model.run(config, row, mask).astype(np.uint8).tobytes().hex())
    return packets, expected


def run(config, packets, expected, folder, monkeypatch, module="cocotb_serial", **further):
    from cocotb_tools.runner import get_results, get_runner
    files = emission.serial_files(config, DIVISOR)
    for name, text in files.items():
        (folder / name).write_text(text)
    registers = verilog.control_of(config).registers
    (folder / "job.json").write_text(json.dumps({
        "home": str(ROOT), "divisor": DIVISOR, "manifest": str(folder / "manifest.json"),
        "offsets": {register.name: register.offset for register in registers.registers},
        "constants": {name: registers[name].reset for name in ("ID", "VERSION", "CONFIG_HASH")},
        "unmapped": 0xFFC, "message": "Register 0xffc does not exist",
        "packets": packets, "expected": expected, **further}))
    # Under pytest, cocotb's runner would end the process on a failure.
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)
    monkeypatch.syspath_prepend(str(pathlib.Path(__file__).parent))
    monkeypatch.setenv("JOB", str(folder / "job.json"))
    runner = get_runner("icarus")
    top = emission.top(config)
    runner.build(sources=[folder / name for name in emission.sources(config)], hdl_toplevel=top,
                 build_dir=folder, timescale=("1ns", "1ps"), log_file=folder / "build.log")
    results = runner.test(hdl_toplevel=top, test_module=module, build_dir=folder,
                          test_dir=folder, log_file=folder / "test.log")
    assert get_results(results) == (1, 0), (folder / "test.log").read_text()[-3000:]


@pytest.mark.slow
def test_more_than_it_holds(tmp_path, monkeypatch, icarus):
    """Rows are sent until unit and FIFOs are full: the host takes outputs meanwhile."""
    config = small("softmax-e2", "plus", max_length=20)
    sent, expected = rows(config, 16)
    assert sum(len(row) // 2 for row in expected) // config.lanes > OUTPUT_DEPTH + 20
    run(config, sent, expected, tmp_path, monkeypatch)


@pytest.mark.slow
def test_several_inputs(tmp_path, monkeypatch, icarus):
    """Attention: keys, with a mask a vector, values and queries, each a stream of its own."""
    config = small("attention", "dense")
    words = vectors(config, "random", 1, 4)
    forms = dict(zip(config.streams, formats(config, "axis"), strict=True))
    sets = {name: packets(forms[name], digits)[:3] for name, digits in words.items()}
    sent = [(name, data.hex(), user and user.hex()) for number in range(3) for name in "kvq"
            for data, user in (sets[name][number],)]
    run(config, sent, [data.hex() for data, _ in sets["o"]], tmp_path, monkeypatch)


@pytest.mark.slow
def test_unit_that_reads_memory(tmp_path, monkeypatch, icarus):
    """SVD-softmax by the driver: the host answers its requests out of the image."""
    config = small("svd-softmax", "supplied")
    random = np.random.default_rng(1)
    image = dataclasses.replace(random_image(config, random, words=3, columns=2), count=2)
    x = random_vectors(config, random, 2)
    y = model.run(config, x, image)
    expected = {name: value.tolist() for name, value in y._asdict().items() if value is not None}
    run(config, [], expected, tmp_path, monkeypatch, "cocotb_svd", x=x.tolist(),
        image=image.pack(config).hex())


def packets(form, digits):
    """TDATA and TUSER of the packets that beats make, which keep all bytes."""
    result, data, user = [], b"", b""
    size, masked = form.signals[0][1], "mask" in form.fields
    for word in digits:
        data += int(word[-size:], 2).to_bytes(size // 8, "little")
        user += bytes((int(word[1:-size], 2),)) if masked else b""
        if word[0] == "1":
            result.append((data, user if masked else None))
            data = user = b""
    return result


@pytest.mark.slow
@pytest.mark.parametrize("unit, preset", [("softmax-e2", "plus"), ("attention", "dense")])
def test_lint(unit, preset, tmp_path):
    """Verilator and Icarus have nothing to say of the text."""
    config = small(unit, preset)
    files = emission.serial_files(config, DIVISOR)
    text = "".join(files[name] for name in emission.sources(config))
    verilator(text, emission.top(config), tmp_path)
    iverilog(text, tmp_path)


def test_beat_that_is_no_request():
    config = rtl.unit("layernorm-exact")(lanes=64, channels=64, bits=16,
                                         channel_parameters="loaded")
    with pytest.raises(ConfigError, match="Beat of load must have at most 251 bytes on a serial "
                                          "line, not 257: take fewer lanes"):
        emission.of_serial(config, DIVISOR)


def test_same_text_on_every_run():
    config = small("softmax-e2", "plus")
    assert emission.of_serial(config, 25) == emission.of_serial(config, 25)
