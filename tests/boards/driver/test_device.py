"""The Python driver on units in Amaranth's simulator: results, and faults with a next call."""

import functools
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import boards.driver
import rtl
from boards.driver import Device, DeviceError, TransferError, TransferTimeout, TransportError
from boards.driver.simulation import Simulation
from sim import model

BASE = 0x1F000000


@functools.cache
def softmax_config():
    return rtl.unit("softmax-e2")(lanes=3, max_length=40)


def logits(rows, length):
    return np.random.default_rng(length).integers(-128, 128, (rows, length))


@pytest.fixture(scope="module")
def shared():
    """A device with a unit whose beats are no power of two, and with masks."""
    simulation = Simulation(softmax_config(), user="memory", pause=0.1)
    return Device(simulation, simulation.manifest, timeout=0.2), simulation


@pytest.fixture
def device(shared):
    """The same; whatever happened to it, it works afterwards."""
    device, simulation = shared
    yield shared
    simulation.port.faults.clear()
    simulation.interrupts = True
    x = logits(3, 5)
    assert np.array_equal(device.softmax(x), model.run(softmax_config(), x))
    assert device.registers.errors() == []


# Results ----------------------------------------------------------------------------------------

def test_softmax(device):
    device, _ = device
    for rows, length in ((1, 1), (4, 37)):
        x = logits(rows, length)
        y = device.softmax(x, verify=True)
        assert y.dtype == np.int32 and np.array_equal(y, model.run(softmax_config(), x))
    # More axes, and masks.
    x = logits(6, 11).reshape(2, 3, 11)
    mask = np.random.default_rng(1).random(x.shape) < 0.4
    assert np.array_equal(device.softmax(x, mask), model.run(softmax_config(), x, mask))
    # Polling, where there is no interrupt.
    device.transport.interrupts = False
    assert np.array_equal(device.softmax(x[0]), model.run(softmax_config(), x[0]))


def test_memory_smaller_than_the_array(device, monkeypatch):
    """As many rows at a time as it holds."""
    device, simulation = device
    memory = simulation.memory
    monkeypatch.setattr(simulation, "_memory",
                        boards.driver.Buffer(memory.address + 8, memory.data[8:8 + 150]))
    x = logits(4, 20)
    assert np.array_equal(device.softmax(x), model.run(softmax_config(), x))
    with pytest.raises(ValueError, match="^DMA memory must have at least 96 bytes for a row, not"):
        monkeypatch.setattr(simulation, "_memory",
                            boards.driver.Buffer(memory.address, memory.data[:88]))
        device.softmax(logits(1, 40))


def test_layernorm():
    config = rtl.unit("layernorm-exact")(lanes=3, channels=10, channel_parameters="loaded")
    simulation = Simulation(config, interrupts=False)
    device = Device(simulation, simulation.manifest, timeout=0.2)
    x = np.random.default_rng(1).integers(0, 256, (4, 10))
    assert np.array_equal(device.layernorm(x), model.run(config, x))
    loaded = {"gamma": tuple(range(40, 50)), "beta": tuple(range(-5, 5)), "alpha": (1, 2) * 5}
    expected = model.run(rtl.UnitConfig.from_dict({**config.to_dict(), **loaded}), x)
    assert np.array_equal(device.layernorm(x, **loaded, verify=True), expected)
    # They stay.
    assert np.array_equal(device.layernorm(x, verify=True), expected)
    # A load by itself: gamma, beta and alpha 0.
    device.send("load", np.zeros(12, int))
    assert not device.layernorm(x).any()
    with pytest.raises(ValueError, match="^Stream must be one of i, load, not 'o'$"):
        device.send("o", x)
    with pytest.raises(ValueError, match="^Parameter gamma must be 10 integers in -128..127, not"):
        device.layernorm(x, gamma=(1, 2))
    with pytest.raises(DeviceError, match="^Device must hold a unit of softmax, not layernorm-"):
        device.softmax(x)
    with pytest.raises(ValueError, match="^Elements of a row of i must be 10..10, not 9$"):
        device.layernorm(x[:, :9])


def test_attention():
    config = rtl.unit("attention")(max_keys=6, dim=4, value_dim=6, io_lanes=2, max_queries=3)
    simulation = Simulation(config, user="memory")
    device = Device(simulation, simulation.manifest, timeout=0.2)
    random = np.random.default_rng(1)
    q, k, v = (random.integers(-128, 128, (2, *size)) for size in ((3, 4), (6, 4), (6, 6)))
    mask = random.random((2, 6)) < 0.4
    for options in {}, {"mask": mask}:
        masks = options.get("mask", [None] * 2)
        expected = [model.run(config, *arrays, mask=m)
                    for *arrays, m in zip(q, k, v, masks, strict=True)]
        assert np.array_equal(device.attention(q, k, v, **options, verify=True), expected)
    with pytest.raises(ValueError, match="^Shapes of q, k and v must be"):
        device.attention(q, k, v[:, :3])
    with pytest.raises(ValueError, match="^Keys of a set must be 1..6, not 7$"):
        device.attention(q[0], np.zeros((7, 4), int), np.zeros((7, 6), int))
    with pytest.raises(ValueError, match="^Queries of a set must be 1..3, not 6$"):
        device.attention(k, k, v)
    # A set of keys that is not as long as that of the values: only the engine sees it.
    rows = [boards.driver.transfer.Rows(name, device.streams[name].rows(each, 2),
                                        device._words(name, device.streams[name].rows(each, 2), {}))
            for name, each in (("k", k[:, :5]), ("v", v), ("q", q))]
    with pytest.raises(TransferError, match="error output rose"):
        boards.driver.transfer.dma(simulation, device.registers, rows, 18, 0.1)
    device.reset()
    device.attention(q, k, v, verify=True)


def test_biases():
    """Rows of biases by DMA, a packet each; the keys of a set do not fill its last beat."""
    config = rtl.unit("attention")(max_keys=5, dim=2, io_lanes=2, lanes=3, bias="add", bias_bits=10)
    simulation = Simulation(config, interrupts=False)
    device = Device(simulation, simulation.manifest, timeout=0.2)
    random = np.random.default_rng(2)
    q, k, v = (random.integers(-128, 128, (2, number, 2)) for number in (3, 5, 5))
    bias = random.integers(-512, 512, (3, 5))
    y = device.attention(q, k, v, bias=bias, verify=True)
    assert np.array_equal(y, model.run(config, q, k, v, bias=bias))
    for wrong, message in ((bias[:, :4], r"Biases must fit the shape \(2, 3, 5\), not \(3, 4\)"),
                           (bias + 512, "Elements of b must be in -512..511, not 0..")):
        with pytest.raises(ValueError, match=f"^{message}"):
            device.attention(q, k, v, bias=wrong)


# Arrays that do not suit ------------------------------------------------------------------------

@pytest.mark.parametrize("x, kind, message", [
    (np.zeros((2, 41), int), ValueError, "Elements of a row of i must be 1..40, not 41"),
    (np.zeros((2, 5)), TypeError, "Elements of i must be integers, not float64"),
    (np.full((2, 5), 128), ValueError, "Elements of i must be in -128..127, not 128..128"),
    (np.zeros((0, 5), int), ValueError, "Elements of i must be on 1 axes at least, not of shape")])
def test_arrays(device, x, kind, message):
    with pytest.raises(kind, match=f"^{message}"):
        device[0].softmax(x)


@pytest.mark.parametrize("mask, kind, message", [
    (np.zeros((2, 5), int), TypeError, "Mask must be boolean, not int64"),
    (np.zeros((3, 5), bool), ValueError, r"Mask must fit the shape \(2, 5\), not \(3, 5\)")])
def test_masks(device, mask, kind, message):
    with pytest.raises(kind, match=f"^{message}$"):
        device[0].softmax(logits(2, 5), mask)


def test_another_result_than_the_model(device, monkeypatch):
    monkeypatch.setattr(model, "run", lambda config, x: x * 0)
    with pytest.raises(DeviceError, match="^Result must be that of the model, not another in "):
        device[0].softmax(logits(2, 3), verify=True)
    monkeypatch.undo()


# Devices that are others ------------------------------------------------------------------------

def test_another_device(shared):
    device, simulation = shared
    manifest = simulation.manifest
    with pytest.raises(DeviceError, match="^Configuration must be 00000001 .*bitstream holds ano"):
        Device(simulation, {**manifest, "hash": "00000001"})
    with pytest.raises(DeviceError, match="must have registers: generate it with --control"):
        Device(simulation, {key: value for key, value in manifest.items() if key != "registers"})
    # Another map: that of a unit without DMA.
    registers = [{**each, "fields": [{**f, "reset": 1} if f["name"] == "MAP" else f
                                     for f in each["fields"]]} for each in manifest["registers"]]
    with pytest.raises(DeviceError, match="^Arrangement of the registers must be 1, .*not 2"):
        Device(simulation, {**manifest, "registers": registers})
    registers = [{**each, "offset": 4} if each["name"] == "ID" else each
                 for each in manifest["registers"]]
    with pytest.raises(DeviceError, match="^Register ID must be 0x5452544c, not 0x"):
        Device(simulation, {**manifest, "registers": registers})
    with pytest.raises(DeviceError, match="^Manifest .*missing.json can not be read: No such file"):
        Device(simulation, "/nowhere/missing.json")
    with pytest.raises(TransportError, match="to 0xffc with error 2: there is no such register$"):
        simulation.read32(0xFFC)


def test_mask_without_its_channel():
    simulation = Simulation(softmax_config())
    device = Device(simulation, simulation.manifest)
    with pytest.raises(DeviceError, match="^Masks must come from memory: .* --user memory$"):
        device.softmax(logits(1, 3), np.ones((1, 3), bool))


# Faults -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("channel, code, name", [
    ("DMA_I", 3, "DECERR"), ("DMA_I_USER", 2, "SLVERR"), ("DMA_O", 2, "SLVERR")])
def test_error_in_mid_burst(device, channel, code, name):
    device, simulation = device
    # Rows of 40 bytes, of 14 words, and results of 40 bytes.
    place = {"DMA_I": 24, "DMA_I_USER": 4 * 40 + 8, "DMA_O": 4 * (40 + 16) + 56}[channel]
    simulation.port.faults[BASE + place] = code
    with pytest.raises(TransferError, match=f"^{channel}: a burst was answered {name}$"):
        device.softmax(logits(4, 40))


def descriptor(device, channel, address, size, rows, stride):
    registers = device.registers
    for what, value in zip(("ADDRESS", "BYTES", "ROWS", "STRIDE"), (address, size, rows, stride),
                           strict=True):
        registers.write(f"{channel}_{what}", value)
    registers.set(f"{channel}_START", START=1)


def settle(simulation, cycles=250):
    simulation._step(cycles)


def test_unaligned_address(device):
    """Refused by the driver where memory comes from, and by the hardware: nothing is touched."""
    device, simulation = device
    with pytest.raises(TransportError, match="^Address of a DMA buffer must be a multiple of 8, "):
        boards.driver.Buffer(BASE + 4, memoryview(bytearray(64)))
    before = bytes(simulation.port.memory)
    descriptor(device, "DMA_O", BASE + 4, 8, 1, 8)
    descriptor(device, "DMA_I", BASE, 8, 2, 12)
    settle(simulation)
    assert simulation.port.memory == before
    assert [text.partition(":")[0] for text in device.registers.errors()] == ["DMA_I", "DMA_O"]
    device.reset()


def test_address_without_memory(device):
    device, simulation = device
    descriptor(device, "DMA_I", 0x100, 8, 1, 8)
    settle(simulation)
    assert device.registers.errors() == ["DMA_I: a burst was answered DECERR"]
    device.reset()


def test_tail_across_4_kib(device, monkeypatch):
    """Rows whose last bytes are on the next page: the memory checks that no burst crosses it."""
    device, simulation = device
    memory = simulation.memory
    x = logits(1, 37)
    for place in (4096 - 40, 4096 - 24):
        monkeypatch.setattr(simulation, "_memory",
                            boards.driver.Buffer(memory.address + place, memory.data[place:]))
        assert np.array_equal(device.softmax(x), model.run(softmax_config(), x))


def test_dma_shorter_than_a_row(device):
    """What comes is shorter than what is waited for, or longer; the rest is left alone."""
    device, simulation = device
    for sent, waited, cause in ((16, 24, "shorter"), (24, 16, "longer")):
        simulation.port.memory[:] = bytes(len(simulation.port.memory))
        simulation.port.memory[0x800:0x900] = b"\xAA" * 256
        descriptor(device, "DMA_O", BASE + 0x800, waited, 1, 0)
        descriptor(device, "DMA_I", BASE, sent, 1, 0)
        descriptor(device, "DMA_I_USER", BASE, -(-sent // 3), 1, 0)
        settle(simulation)
        error, = device.registers.errors()
        assert error.startswith("DMA_O: a row was " + cause)
        whole = min(sent, waited)
        row = model.run(softmax_config(), np.zeros((1, sent), int))[0].astype(np.uint8).tobytes()
        assert simulation.port.memory[0x800:0x900] == row[:whole] + b"\xAA" * (256 - whole)
    # The same for words beside the beats.
    for words, cause in ((7, "fewer words"), (9, "more words")):
        descriptor(device, "DMA_O", BASE + 0x800, 24, 1, 0)
        descriptor(device, "DMA_I", BASE, 24, 1, 0)
        descriptor(device, "DMA_I_USER", BASE, words, 1, 0)
        settle(simulation)
        error, = device.registers.errors()
        assert error.startswith("DMA_I_USER: a row has " + cause)


def test_rows_that_never_come(device):
    """An output that nothing fills: the call says what waits, and the device is free again."""
    device, simulation = device
    descriptor(device, "DMA_O", BASE + 0x800, 24, 5, 24)
    descriptor(device, "DMA_I", BASE, 24, 1, 0)
    settle(simulation)
    assert device.registers.fields("DMA_O_STATUS") == {"BUSY": 1, "FULL": 0}
    rows = [boards.driver.transfer.Rows("i", np.zeros((1, 24), np.uint8),
                                        np.zeros((1, 8), np.uint8))]
    with pytest.raises(TransferError, match="^Transfer does not end within 0.1 s: .* DMA_O_DONE$"):
        boards.driver.transfer.dma(simulation, device.registers, rows, 24, 0.1)
    device.reset()
    assert not device.registers.fields("DMA_O_STATUS")["BUSY"]


def test_more_descriptors_than_the_queue_holds(device):
    device, simulation = device
    for _ in range(6):
        descriptor(device, "DMA_O", BASE + 0x800, 24, 60, 24)
    assert device.registers.fields("DMA_O_STATUS") == {"BUSY": 1, "FULL": 1}
    assert device.registers.errors() == [
        "DMA_O: a descriptor was started while the queue was full; it is lost"]
    device.reset()


@pytest.mark.parametrize("after", (0, 50, 93, 140))
def test_reset_in_flight(device, after):
    """In the middle of bursts either way; the bus is kept to its rules, and nothing is left."""
    device, simulation = device
    descriptor(device, "DMA_O", BASE + 0x2000, 40, 60, 40)
    descriptor(device, "DMA_I", BASE, 40, 60, 40)
    descriptor(device, "DMA_I_USER", BASE, 14, 60, 16)
    settle(simulation, 30 + after)
    beats = dict(simulation.port.beats)
    device.reset()
    assert all(not device.registers.fields(f"{name}_STATUS")["BUSY"]
               for name in ("DMA_I", "DMA_I_USER", "DMA_O"))
    # Not to the end.
    assert simulation.port.beats["r"] - beats["r"] < 16 * 34
    settle(simulation, 100)
    assert simulation.port.beats["w"] < beats["w"] + 16 * 17


def test_interrupt_that_never_comes(device, monkeypatch):
    device, simulation = device
    monkeypatch.setattr(simulation, "wait_interrupt", lambda timeout: settle(simulation) or False)
    with pytest.raises(TransferTimeout, match="^Transfer is done, but its interrupt never came"):
        device.softmax(logits(1, 4))
    monkeypatch.undo()


def test_memory_that_never_answers(device, monkeypatch):
    device, simulation = device
    with monkeypatch.context() as patch:
        patch.setattr(simulation.port, "latency", (9_000, 9_000))
        patch.setattr(device, "timeout", 0.05)
        with pytest.raises(TransferTimeout, match="^Memory does not answer what the device asked"):
            device.softmax(logits(1, 4))
    # It answers after all, and the device is free.
    simulation.port._now += 20_000
    device.reset()


# The folder by itself ---------------------------------------------------------------------------

def test_driver_needs_no_generator(tmp_path):
    """A board has the folder and NumPy."""
    shutil.copytree(Path(boards.driver.__file__).parent, tmp_path / "driver")
    code = ("import sys; sys.modules.update(rtl=None, sim=None, boards=None, amaranth=None); "
            "import driver; print(driver.Device.__name__)")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, text=True,
                          capture_output=True, env={"PATH": ""})
    assert (done.stdout, done.stderr) == ("Device\n", "")
