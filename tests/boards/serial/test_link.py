"""The serial link in Amaranth's simulator: the host's end, bits on two lines, the device's end."""

import json
import os
import pty
import select
import threading
import tty

import numpy as np
import pytest
from amaranth import Module, ResetInserter
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from boards.driver import Device, TransferTimeout, TransportError
from boards.serial.link import SerialLink
from boards.serial.protocol import (
    ESCAPE,
    FLAG,
    LIMIT,
    VERSION,
    Deframer,
    Operation,
    Status,
    frame,
)
from boards.serial.transport import SerialTransport
from boards.testing.serial_port import SimulatedPort
from rtl.bus.register_slave import RegisterSlave
from rtl.emit import manifest as emit_manifest
from rtl.emit import verilog
from sim import model
from sim.testing.small import small

CONFIG = small("softmax-e2", "plus", lanes=3)
DIVISOR = 4
# Longer than any answer takes, in simulated seconds.
TIMEOUT = 4e-3
REGISTERS = verilog.control_of(CONFIG).registers
UNKNOWN = 0xFFC


class Looped(wiring.Component):
    """A link with a unit's registers, which nothing drives, and with its core."""

    def __init__(self):
        self.link, self.core = None, CONFIG.create()
        bits = {name: len(getattr(self.core, name).payload.as_value()) for name in "io"}
        self.link = SerialLink(DIVISOR, REGISTERS.address_bits, {"i": bits["i"]}, {"o": bits["o"]})
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.link = link = self.link
        m.submodules.core = core = ResetInserter(link.reset)(self.core)
        slave = RegisterSlave(REGISTERS)
        m.submodules.slave = ResetInserter(link.reset)(slave)
        m.d.comb += [link.rx.eq(self.rx), self.tx.eq(link.tx), slave.wstrb.eq(-1),
                     core.i.payload.eq(link.i_i.payload), core.i.valid.eq(link.i_i.valid),
                     link.i_i.ready.eq(core.i.ready),
                     link.o_o.payload.eq(core.o.payload), link.o_o.valid.eq(core.o.valid),
                     core.o.ready.eq(link.o_o.ready)]
        for name in link.bus:
            inner, outer = getattr(slave, name.removeprefix("axi_")), getattr(link, name)
            into = slave.signature.members[name.removeprefix("axi_")].flow is In
            m.d.comb += inner.eq(outer) if into else outer.eq(inner)
        return m


def manifest():
    """That of the unit with registers: elements of 8 bits, so a beat of its core is one of AXI."""
    return json.loads(emit_manifest.manifest(CONFIG, {}, verilog.control_of(CONFIG)))


@pytest.fixture(scope="module")
def port():
    """One for all tests: what one of them leaves must not disturb the next."""
    return SimulatedPort(Looped(), DIVISOR, idle=300)


@pytest.fixture
def transport(port):
    # No answer takes longer than its bytes.
    return SerialTransport(port, manifest(), timeout=TIMEOUT, clock=port.clock)


def ask(port, content, tail=b""):
    """Contents of the frames that answer one."""
    port.write(frame(content) + tail)
    received = b""
    while data := port.read(100):
        received += data
    return [*Deframer().feed(received)]


def user(mask):
    """TUSER of the beats of a row."""
    lanes = CONFIG.lanes
    return bytes(sum(int(hidden) << k for k, hidden in enumerate(mask[start:start + lanes]))
                 for start in range(0, len(mask), lanes))


def test_rows_equal_the_model(transport):
    """Rows of every kind of last beat, sent before any is received; masks, negative elements."""
    random = np.random.default_rng(1)
    lengths = (10, 1, 3, 8, 10)
    rows = [random.integers(-128, 128, length) for length in lengths]
    masks = [random.random(length) < 0.3 for length in lengths]
    # Bytes that have to be escaped.
    rows[0][:3] = FLAG, ESCAPE, -1
    for row, mask in zip(rows, masks, strict=True):
        transport.send("i", row.astype(np.int8).tobytes(), user(mask))
    for row, mask in zip(rows, masks, strict=True):
        received = transport.receive("o", len(row), 0.01)
        np.testing.assert_array_equal(np.frombuffer(received, np.uint8),
                                      model.run(CONFIG, row, mask))


@pytest.mark.slow
def test_driver(transport):
    """The driver on top: it checks the unit, computes, and works after a row that never came."""
    device = Device(transport, manifest(), timeout=0.01)
    random = np.random.default_rng(2)
    rows, mask = random.integers(-128, 128, (2, 7)), random.random((2, 7)) < 0.3
    np.testing.assert_array_equal(device.softmax(rows, mask, verify=True),
                                  model.run(CONFIG, rows, mask))
    transport.send("i", bytes(2))
    with pytest.raises(TransferTimeout, match="Packet of o must have 7 bytes, not 2"):
        device.softmax(rows)
    device.softmax(rows[:1], verify=True)


def test_registers(transport):
    for name in "ID", "VERSION", "CONFIG_HASH":
        assert transport.read32(REGISTERS[name].offset) == REGISTERS[name].reset
    enable = REGISTERS["IRQ_ENABLE"].offset
    transport.write32(enable, 3)
    transport.write32(REGISTERS["ID"].offset, 0)
    assert transport.read32(enable) == 3
    for access in (lambda: transport.read32(UNKNOWN), lambda: transport.write32(UNKNOWN, 1)):
        with pytest.raises(TransportError, match="Register 0xffc does not exist"):
            access()
    transport.reset()
    assert transport.read32(enable) == 0


def test_reset_drops_rows(transport):
    transport.send("i", bytes(4))
    transport.send("i", bytes(10))
    transport.reset()
    with pytest.raises(TransportError,
                       match="Output o gave no packet in 0.005 s, and 0 bytes of one"):
        transport.receive("o", 10, 0.005)
    transport.send("i", bytes(5))
    assert len(transport.receive("o", 5, 0.01)) == 5


def test_wrong_length(transport):
    transport.send("i", bytes(4))
    transport.send("i", bytes(5))
    with pytest.raises(TransportError, match="Packet of o must have 3 bytes, not 4"):
        transport.receive("o", 3, 0.01)
    assert len(transport.receive("o", 5, 0.01)) == 5


@pytest.mark.parametrize("send, message", [
    (("i", b""), "Packet of i must have"),
    (("i", bytes(3), b"\0\0"), "TUSER of i must have 1 byte"),
    (("k", b"\0"), "Input must be one of i, not 'k'")])
def test_wrong_packets(transport, send, message):
    with pytest.raises(ValueError, match=message):
        transport.send(*send)


@pytest.mark.parametrize("request_", [
    (6,), (Operation.READ, 0), (Operation.SEND,), (Operation.SEND, 1), (Operation.RECEIVE, 1, 1),
    (Operation.HELLO, 0),
], ids=["operation", "short", "no stream", "input", "output", "long"])
def test_malformed_requests(port, request_):
    """They are answered as such, and the next one is done."""
    assert ask(port, bytes((9, *request_))) == [bytes((9, Status.MALFORMED))]
    assert ask(port, bytes((8, Operation.RESET))) == [bytes((8, Status.OK))]


def test_half_a_beat(port):
    """A beat that is not whole is not sent; those before it are counted."""
    size = 4
    (answer,) = ask(port, bytes((9, Operation.SEND, 0)) + bytes(2 * size - 1))
    assert answer == bytes((9, Status.MALFORMED, 1))


def test_longest_request(port):
    """A request of as many bytes as there may be is read."""
    fits = bytes((9, Operation.HELLO)) + bytes(LIMIT - 2)
    assert ask(port, fits) == [bytes((9, Status.MALFORMED))]


@pytest.mark.parametrize("broken", [
    bytes((FLAG, 1)), bytes((FLAG, 1, 2, ESCAPE)), frame(b"\1\2\0\0")[:-2],
    bytes((FLAG, *bytes(LIMIT + 3)))], ids=["begun", "escape", "cut", "endless"])
def test_resynchronisation(port, broken):
    """After any bytes the next requests are done, of which one may be found corrupt."""
    transport = SerialTransport(port, manifest(), timeout=TIMEOUT, clock=port.clock)
    port.write(broken)
    assert transport.read32(REGISTERS["ID"].offset) == REGISTERS["ID"].reset


def test_wrong_bit(port):
    """In a write: that is not done, and done when it is sent again."""
    transport = SerialTransport(port, manifest(), timeout=TIMEOUT, clock=port.clock)
    enable = REGISTERS["IRQ_ENABLE"].offset
    port.flips = {45}
    transport.write32(enable, 1)
    assert transport.read32(enable) == 1


def test_line_that_is_always_wrong(port, transport):
    port.flips = {*range(15, 100000, 30)}
    with pytest.raises(TransportError, match="Requests arrive corrupt, 3 times|No answer in"):
        transport.write32(0, 0)
    port.flips = set()
    assert transport.read32(0) == REGISTERS["ID"].reset


def test_other_units(port):
    """Another number of streams, and no registers."""
    other = manifest()
    ports = other["modules"][f"{CONFIG.name}_axil"]
    ports += [{**each, "stream": "k"} for each in ports if each["stream"] == "i"]
    with pytest.raises(TransportError, match="Unit must have 2 inputs and 1 outputs, as "
                                             f"{CONFIG.name} has, not 1 and 1"):
        SerialTransport(port, other, timeout=TIMEOUT, clock=port.clock)
    with pytest.raises(TransportError, match="a module unit_axil"):
        SerialTransport(port, {"name": "unit", "modules": {}})


def test_port_of_the_system():
    """A pseudo-terminal through pyserial: somebody at its other end, and then nobody."""
    pytest.importorskip("serial", reason="pyserial is not installed")
    far, near = pty.openpty()
    tty.setraw(near)

    def answer():
        """Answer HELLO and RESET, and READ with a word."""
        results = {Operation.HELLO: bytes((VERSION, LIMIT, 1, 1)), Operation.READ: b"\1\2\3\4"}
        frames = Deframer()
        while not done.is_set():
            if select.select([far], [], [], 0.01)[0]:
                for content in frames.feed(os.read(far, 100)):
                    result = results.get(content[1], b"")
                    os.write(far, frame(bytes((content[0], Status.OK)) + result))

    done = threading.Event()
    thread = threading.Thread(target=answer)
    thread.start()
    try:
        with SerialTransport.open(os.ttyname(near), manifest(), timeout=0.3) as transport:
            assert transport.read32(0) == 0x04030201
            done.set()
            thread.join()
            with pytest.raises(TransportError, match="No answer in 0.3 s: check the port"):
                transport.read32(0)
    finally:
        done.set()
        thread.join()
        os.close(far)
        os.close(near)
    with pytest.raises(TransportError, match="Port '/dev/none' can not be opened: "):
        SerialTransport.open("/dev/none", manifest())
