"""Host's end of the serial link: registers and streams of a unit, over a serial port.

Needs nothing but the standard library and the driver's; pyserial where a port is opened by name.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ..driver.transport import StreamTransport, Transport, TransportError
from .protocol import (
    FLAG,
    LIMIT,
    MOST_BEAT,
    VERSION,
    Deframer,
    Operation,
    Status,
    beat_bytes,
    frame,
)

__all__ = ["BAUD", "Port", "SerialTransport"]

#: Bits per second of the line, where nothing else is said.
BAUD = 1_000_000

# Most beats that RECEIVE asks for.
MOST = 255
# Seconds without an answer; and the part of them that is waited after a frame was found corrupt.
TIMEOUT = 2.0
GRACE = 1 / 4
# Times that a request is sent which the device found corrupt, and has not done.
TRIES = 3


class Port(Protocol):
    """What is needed of a serial port; ``serial.Serial`` has it."""

    def write(self, data: bytes) -> object:
        """Send bytes."""

    def read(self, size: int) -> bytes:
        """Return up to so many bytes, fewer if they do not come for a while."""

    def close(self) -> None:
        """Give the port back."""


@dataclasses.dataclass(frozen=True)
class _Stream:
    """A stream's number among those of its direction, and where its signals are in a beat."""

    number: int
    data: int
    keep: int
    user: int

    @property
    def bytes(self) -> int:
        return beat_bytes(self.data + self.keep + self.user + 1)

    def encode(self, part: bytes, last: bool, user: int) -> bytes:
        """Return the bytes of a beat; ``part`` may be short in the last one."""
        # TKEEP has a bit for each byte of TDATA.
        kept = (1 << len(part)) - 1 if self.keep else 0
        word = (int.from_bytes(part, "little") | kept << self.data |
                user << self.data + self.keep | last << self.data + self.keep + self.user)
        return word.to_bytes(self.bytes, "little")

    def decode(self, beat: bytes) -> tuple[bytes, bool]:
        """Bytes that a beat keeps, and whether it is the last one."""
        word = int.from_bytes(beat, "little")
        kept = (word >> self.data) & ((1 << self.keep) - 1)
        size = kept.bit_length() if self.keep else self.data // 8
        return (beat[:size], bool(word >> self.data + self.keep + self.user & 1))


class SerialTransport(Transport, StreamTransport):
    """Registers and streams of the unit at the other end of a serial port.

    Making one resets the unit. One thread, and one process, at a time.

    Parameters
    ----------
    port : Port
        An open port: 8 bits, no parity, one stop bit, no flow control.
    manifest : path or dict
        The unit's ``manifest.json``.
    timeout : float
        Seconds to wait for an answer, and for the unit to take a beat.
    clock : callable
        Returns seconds; that of a simulation for a simulated port.

    Raises
    ------
    TransportError
        If nobody answers, or not a unit with these streams.
    """

    def __init__(self, port: Port, manifest: str | os.PathLike[str] | Mapping[str, Any], *,
                 timeout: float = TIMEOUT, clock: Callable[[], float] = time.monotonic) -> None:
        if not isinstance(manifest, Mapping):
            with open(manifest, encoding="utf-8") as file:
                manifest = json.load(file)
        self._port, self._timeout, self._clock = port, timeout, clock
        self._inputs, self._outputs = _streams(manifest)
        self._deframer, self._tag = Deframer(), 0
        # Of each output, the beats of a packet under way, and the packets that ended.
        self._partial = {name: bytearray() for name in self._outputs}
        self._packets = {name: deque() for name in self._outputs}
        self._check(manifest["name"])
        self.reset()

    @classmethod
    def open(cls, device: str, manifest: str | os.PathLike[str] | Mapping[str, Any], *,
             baud: int = BAUD, timeout: float = TIMEOUT) -> SerialTransport:
        """Open a port by its name, such as ``/dev/ttyUSB0``, and reset the unit behind it."""
        try:
            import serial
        except ImportError:
            raise TransportError("Package pyserial is missing: pip install pyserial") from None
        try:
            port = serial.Serial(device, baud, timeout=0.02, exclusive=True)
        except serial.SerialException as error:
            reason = error.strerror or str(error)
            raise TransportError(f"Port {device!r} can not be opened: {reason}") from None
        try:
            return cls(port, manifest, timeout=timeout)
        except BaseException:
            port.close()
            raise

    def _check(self, name: str) -> None:
        """Compare what is at the other end with what the manifest says."""
        version, limit, inputs, outputs = self._request(Operation.HELLO)
        if (version, limit) != (VERSION, LIMIT):
            raise TransportError(f"Protocol must be version {VERSION} with requests of {LIMIT} "
                                 f"bytes, not version {version} with {limit}")
        if (inputs, outputs) != (len(self._inputs), len(self._outputs)):
            raise TransportError(f"Unit must have {len(self._inputs)} inputs and "
                                 f"{len(self._outputs)} outputs, as {name} has, not {inputs} and "
                                 f"{outputs}")

    # Registers ----------------------------------------------------------------------------------

    def read32(self, offset: int) -> int:
        """Word of the register at a byte offset."""
        return int.from_bytes(self._request(Operation.READ, offset.to_bytes(2, "little"),
                                            f"Register {offset:#05x}"), "little")

    def write32(self, offset: int, value: int) -> None:
        """Write the register at a byte offset."""
        self._request(Operation.WRITE, offset.to_bytes(2, "little") + value.to_bytes(4, "little"),
                      f"Register {offset:#05x}")

    def reset(self) -> None:
        """Reset the unit, its registers and the link; packets under way are lost."""
        self._request(Operation.RESET)
        for partial, packets in zip(self._partial.values(), self._packets.values(), strict=True):
            partial.clear()
            packets.clear()

    # Streams ------------------------------------------------------------------------------------

    def send(self, stream: str, packet: bytes, user: bytes | None = None) -> None:
        """Send one packet into an input of the unit.

        Parameters
        ----------
        stream : str
            Name of the input.
        packet : bytes
            Its elements as TDATA has them, lane 0 first.
        user : bytes or None
            TUSER of each beat, little-endian in whole bytes; None for zeros.
        """
        layout = _known(self._inputs, stream, "Input")
        size = layout.data // 8
        count = -(-len(packet) // size)
        if not packet or len(packet) % size and not layout.keep:
            raise ValueError(f"Packet of {stream} must have a multiple of {size} bytes, "
                             f"not {len(packet)}")
        width = beat_bytes(layout.user)
        if user is not None and len(user) != count * width:
            raise ValueError(f"TUSER of {stream} must have {count * width} bytes, {width} a beat, "
                             f"not {len(user)}")
        beats = [layout.encode(packet[n * size:][:size], n == count - 1,
                               int.from_bytes((user or b"")[n * width:][:width], "little"))
                 for n in range(count)]
        end = self._clock() + self._timeout
        while beats:
            batch = beats[:MOST_BEAT // layout.bytes]
            taken, = self._request(Operation.SEND, bytes((layout.number,)) + b"".join(batch),
                                   f"Input {stream}")
            del beats[:taken]
            if taken:
                end = self._clock() + self._timeout
            if taken < len(batch):
                # Its outputs may be full.
                for name in self._outputs:
                    self._take(name)
                if self._clock() > end:
                    raise TransportError(f"Unit takes no beat of {stream}, with {len(beats)} to "
                                         "send")

    def receive(self, stream: str, size: int, timeout: float) -> bytes:
        """Return the next packet of an output, which must have so many bytes.

        A packet of another length is dropped.
        """
        _known(self._outputs, stream, "Output")
        end = self._clock() + timeout
        packets = self._packets[stream]
        while not packets:
            if not self._take(stream) and self._clock() > end:
                raise TransportError(f"Output {stream} gave no packet in {timeout:g} s, and "
                                     f"{len(self._partial[stream])} bytes of one")
        packet = packets.popleft()
        if len(packet) != size:
            raise TransportError(f"Packet of {stream} must have {size} bytes, not {len(packet)}")
        return packet

    def poll(self, stream: str) -> bytes | None:
        """Return the next packet of an output, of any length, or None if there is none yet."""
        _known(self._outputs, stream, "Output")
        packets = self._packets[stream]
        if not packets:
            self._take(stream)
        return packets.popleft() if packets else None

    def _take(self, stream: str) -> int:
        """Take the beats that an output has, and return their number."""
        layout = self._outputs[stream]
        beats = self._request(Operation.RECEIVE, bytes((layout.number, MOST)), f"Output {stream}")
        for start in range(0, len(beats), layout.bytes):
            kept, last = layout.decode(beats[start:][:layout.bytes])
            self._partial[stream] += kept
            if last:
                self._packets[stream].append(bytes(self._partial[stream]))
                self._partial[stream].clear()
        return len(beats) // layout.bytes

    # Requests -----------------------------------------------------------------------------------

    def _request(self, operation: Operation, arguments: bytes = b"", what: str = "") -> bytes:
        """Ask, and return the result."""
        for _ in range(TRIES):
            self._tag = self._tag % 255 + 1
            self._port.write(frame(bytes((self._tag, operation)) + arguments))
            answer = self._answer()
            if answer is None:
                continue
            status, result = answer[0], answer[1:]
            if status == Status.SLVERR:
                raise TransportError(f"{what} does not exist")
            if status == Status.MALFORMED:
                raise TransportError(f"{what or operation.name} was asked for with arguments that "
                                     "the device does not take: is it another unit's bitstream?")
            return result
        raise TransportError(f"Requests arrive corrupt, {TRIES} times: check the line and its "
                             "speed")

    def _answer(self) -> bytes | None:
        """Status and result of the last request, or None if it arrived corrupt.

        Older answers may come before it. Half of the time is for a request whose end is lost.
        """
        end, corrupt, ended = self._clock() + self._timeout, False, False
        while True:
            data = self._port.read(max(1, getattr(self._port, "in_waiting", 1)))
            for content in self._deframer.feed(data):
                if content is None or len(content) < 2:
                    raise TransportError("An answer arrives corrupt: check the line and its speed")
                if content[0] == self._tag:
                    return content[1:]
                if content[:2] == bytes((0, Status.CORRUPT)):
                    corrupt, end = True, self._clock() + GRACE * self._timeout
            if data and not corrupt:
                end = self._clock() + self._timeout
            if not (data or corrupt or ended) and self._clock() > end - self._timeout / 2:
                ended = True
                self._port.write(bytes((FLAG,)))
            if self._clock() > end:
                if corrupt:
                    return None
                raise TransportError(f"No answer in {self._timeout:g} s: check the port, its "
                                     "speed, and that the device is configured")

    def now(self) -> float:
        """Seconds, from any moment on."""
        return self._clock()

    def pause(self) -> None:
        """Wait between two polls: the line takes time enough."""

    def close(self) -> None:
        """Give the port back."""
        self._port.close()


def _streams(manifest: Mapping[str, Any]) -> tuple[dict[str, _Stream], dict[str, _Stream]]:
    """Inputs and outputs, from the ports of the module with registers."""
    module = f"{manifest['name']}_axil"
    if module not in manifest["modules"]:
        raise TransportError("Manifest must be that of a unit with registers, with a module "
                             f"{module}")
    found: dict[str, dict[str, dict[str, int]]] = {"input": {}, "output": {}}
    widths: dict[str, dict[str, int]] = {}
    for port in manifest["modules"][module]:
        if port["stream"] is not None:
            signal = port["name"].rpartition("_")[2]
            widths.setdefault(port["stream"], {})[signal] = port["width"]
            if signal == "tvalid":
                found[port["direction"]][port["stream"]] = widths[port["stream"]]
    return tuple({name: _Stream(n, each["tdata"], each.get("tkeep", 0), each.get("tuser", 0))
                  for n, (name, each) in enumerate(side.items())}
                 for side in (found["input"], found["output"]))


def _known(streams: Mapping[str, _Stream], name: str, what: str) -> _Stream:
    if name not in streams:
        raise ValueError(f"{what} must be one of {', '.join(streams)}, not {name!r}")
    return streams[name]
