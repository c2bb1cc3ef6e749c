"""What a request of the serial link asks for, done: registers and streams of a unit."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .frames import ANSWER
from .protocol import LIMIT, VERSION, Operation, Status, beat_bytes

__all__ = ["PATIENCE", "Executor"]

#: Cycles that a beat of SEND waits for its stream.
PATIENCE = 1 << 12

#: Cycles of the reset that RESET gives.
RESET_CYCLES = 4

# Bytes of arguments, at least, of each operation.
ARGUMENTS = {Operation.HELLO: 0, Operation.RESET: 0, Operation.READ: 2, Operation.WRITE: 6,
             Operation.SEND: 1, Operation.RECEIVE: 2}
# Tag and operation.
HEADER = 2


class Executor(wiring.Component):
    """Reads a request from a :class:`~boards.serial.frames.FrameReceiver`, and answers it.

    One request at a time; ``hold`` is high meanwhile. A register takes about 10 cycles, a beat of
    SEND one cycle a byte and one more. RECEIVE gives what is there, without waiting.

    Parameters
    ----------
    address_bits : int
        Bits of a register's byte address.
    inputs : dict of str to int
        Bits of a beat of each input of the unit, by its name.
    outputs : dict of str to int
        Bits of a beat of each output.

    Members
    -------
    done : In(1)
        Pulses when a request is there.
    good : In(1)
        With ``done``: it is not corrupt.
    length : In(8)
        Bytes of it.
    hold : Out(1)
        It is in use.
    address : Out(8)
        Number of the byte that is read of it.
    byte : In(8)
        Its value, a cycle later.
    answer : Out(stream.Signature(ANSWER))
        Bytes of the answer, and its end.
    reset : Out(1)
        Reset of the unit and of the FIFOs.
    axi_<signal> : In(width) or Out(width)
        Master of the register bus:
    axi_awaddr, axi_araddr : Out(address_bits)
        Addresses.
    axi_awvalid, axi_wvalid, axi_bready, axi_arvalid, axi_rready : Out(1)
        Handshakes that it drives.
    axi_awready, axi_wready, axi_bvalid, axi_arready, axi_rvalid : In(1)
        Handshakes that the slave drives.
    axi_wdata : Out(32)
        Word written.
    axi_rdata : In(32)
        Word read.
    axi_bresp, axi_rresp : In(2)
        Responses.
    i_<stream> : Out(stream.Signature(bits))
        Beats for each input of the unit.
    o_<stream> : In(stream.Signature(bits))
        Beats of each output of the unit.
    """

    def __init__(self, address_bits, inputs, outputs):
        self.inputs, self.outputs = dict(inputs), dict(outputs)
        super().__init__({
            "done": In(1), "good": In(1), "length": In(8), "hold": Out(1),
            "address": Out(8), "byte": In(8), "answer": Out(stream.Signature(ANSWER)),
            "reset": Out(1),
            "axi_awaddr": Out(address_bits), "axi_awvalid": Out(1), "axi_awready": In(1),
            "axi_wdata": Out(32), "axi_wvalid": Out(1), "axi_wready": In(1),
            "axi_bresp": In(2), "axi_bvalid": In(1), "axi_bready": Out(1),
            "axi_araddr": Out(address_bits), "axi_arvalid": Out(1), "axi_arready": In(1),
            "axi_rdata": In(32), "axi_rresp": In(2), "axi_rvalid": In(1), "axi_rready": Out(1),
            **{f"i_{name}": Out(stream.Signature(bits)) for name, bits in self.inputs.items()},
            **{f"o_{name}": In(stream.Signature(bits)) for name, bits in self.outputs.items()}})

    def elaborate(self, platform):
        m = Module()
        widest = max(map(beat_bytes, [32, *self.inputs.values(), *self.outputs.values()]))
        pointer, left = Signal(8), Signal(8)
        tag, operation, status = Signal(8), Signal(8), Signal(8)
        # Arguments and beats enter at the top; an answer leaves at the bottom.
        arguments = Signal(8 * max(ARGUMENTS.values()))
        wanted = Signal(range(max(ARGUMENTS.values()) + 1))
        beat = Signal(8 * widest)
        held = Signal(range(widest + 1))
        timer = Signal(range(PATIENCE))
        sent = Signal(8)
        index = Signal(8)
        m.d.comb += self.address.eq(pointer)

        def take():
            """Take the byte that is there; the next one is there in the next cycle."""
            m.d.comb += self.address.eq(pointer + 1)
            m.d.sync += [pointer.eq(pointer + 1), left.eq(left - 1)]

        def answer(code, following="TAG"):
            m.d.sync += status.eq(code)
            m.next = following

        def give(byte, following):
            m.d.comb += [self.answer.valid.eq(1), self.answer.p.byte.eq(byte)]
            with m.If(self.answer.ready):
                m.next = following

        with m.FSM() as machine:
            m.d.comb += self.hold.eq(~machine.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.comb += self.address.eq(0)
                m.d.sync += [pointer.eq(0), left.eq(self.length), tag.eq(0), held.eq(0),
                             sent.eq(0), operation.eq(Operation.RESET)]
                with m.If(self.done):
                    with m.If(self.good & (self.length >= HEADER)):
                        m.next = "READ TAG"
                    with m.Else():
                        answer(Status.CORRUPT)
            with m.State("READ TAG"):
                take()
                m.d.sync += tag.eq(self.byte)
                m.next = "READ OPERATION"
            with m.State("READ OPERATION"):
                take()
                m.d.sync += operation.eq(self.byte)
                self._check(m, left, wanted, answer)
            with m.State("READ ARGUMENTS"):
                with m.If(wanted != 0):
                    take()
                    m.d.sync += [arguments.eq(Cat(arguments[8:], self.byte)),
                                 wanted.eq(wanted - 1)]
                with m.Else():
                    self._dispatch(m, operation, arguments, index, answer)
            with m.State("HELLO"):
                m.d.sync += [beat.eq(Cat(Const(VERSION, 8), Const(LIMIT, 8),
                                         Const(len(self.inputs), 8), Const(len(self.outputs), 8))),
                             held.eq(4)]
                answer(Status.OK)
            with m.State("RESET"):
                m.d.comb += self.reset.eq(1)
                m.d.sync += timer.eq(timer + 1)
                with m.If(timer == RESET_CYCLES - 1):
                    m.d.sync += timer.eq(0)
                    answer(Status.OK)
            self._registers(m, arguments, beat, held, answer)
            with m.State("SEND"):
                self._send(m, left, beat, held, timer, index, sent, take, answer)
            with m.State("PUSH"):
                self._push(m, beat, held, timer, index, sent, answer)
            with m.State("TAG"):
                give(tag, "STATUS")
            with m.State("STATUS"):
                give(status, "RESULT")
            with m.State("RESULT"):
                with m.If(held != 0):
                    m.d.comb += [self.answer.valid.eq(1), self.answer.p.byte.eq(beat)]
                    with m.If(self.answer.ready):
                        m.d.sync += [beat.eq(beat[8:]), held.eq(held - 1)]
                with m.Elif((operation == Operation.RECEIVE) & (arguments[-8:] != 0) &
                            (status == Status.OK)):
                    self._receive(m, arguments, beat, held, index)
                with m.Else():
                    m.next = "END"
            with m.State("END"):
                m.d.comb += [self.answer.valid.eq(1), self.answer.p.end.eq(1)]
                with m.If(self.answer.ready):
                    m.next = "IDLE"
        return m

    def _check(self, m, left, wanted, answer):
        """Go on if there is such an operation, with so many arguments."""
        with m.Switch(self.byte):
            for operation, count in ARGUMENTS.items():
                size = left == 1 + count
                if operation is Operation.SEND:
                    size = left >= 1 + count
                with m.Case(operation):
                    m.d.sync += wanted.eq(count)
                    with m.If(size):
                        m.next = "READ ARGUMENTS"
                    with m.Else():
                        answer(Status.MALFORMED)
            with m.Default():
                answer(Status.MALFORMED)

    def _dispatch(self, m, operation, arguments, index, answer):
        """Start the operation; an argument is at the top of ``arguments``."""
        known = {Operation.SEND: (arguments[-8:], self.inputs),
                 Operation.RECEIVE: (arguments[-16:-8], self.outputs)}
        with m.Switch(operation):
            for case in Operation:
                with m.Case(case):
                    if case not in known:
                        m.next = case.name
                        continue
                    number, streams = known[case]
                    m.d.sync += index.eq(number)
                    with m.If(number >= len(streams)):
                        answer(Status.MALFORMED)
                    with m.Elif(case == Operation.SEND):
                        m.next = "SEND"
                    with m.Else():
                        answer(Status.OK)

    def _registers(self, m, arguments, beat, held, answer):
        """States that read and write a register."""
        with m.State("READ"):
            m.d.comb += self.axi_araddr.eq(arguments[-16:])
            asked = Signal()
            m.d.comb += [self.axi_arvalid.eq(~asked), self.axi_rready.eq(1)]
            with m.If(self.axi_arready):
                m.d.sync += asked.eq(1)
            with m.If(self.axi_rvalid):
                m.d.sync += [asked.eq(0), beat.eq(self.axi_rdata), held.eq(4)]
                m.next = "TAG"
                self._respond(m, self.axi_rresp, answer)
        with m.State("WRITE"):
            addressed, written = Signal(), Signal()
            m.d.comb += [
                self.axi_awaddr.eq(arguments[:16]), self.axi_awvalid.eq(~addressed),
                self.axi_wdata.eq(arguments[16:]), self.axi_wvalid.eq(~written),
                self.axi_bready.eq(1),
            ]
            with m.If(self.axi_awready):
                m.d.sync += addressed.eq(1)
            with m.If(self.axi_wready):
                m.d.sync += written.eq(1)
            with m.If(self.axi_bvalid):
                m.d.sync += [addressed.eq(0), written.eq(0)]
                self._respond(m, self.axi_bresp, answer)

    def _respond(self, m, response, answer):
        with m.If(response[1]):
            answer(Status.SLVERR)
        with m.Else():
            answer(Status.OK)

    def _send(self, m, left, beat, held, timer, index, sent, take, answer):
        """Collect the bytes of a beat."""
        with m.Switch(index):
            for n, bits in enumerate(self.inputs.values()):
                with m.Case(n):
                    with m.If(held == beat_bytes(bits)):
                        m.d.sync += timer.eq(0)
                        m.next = "PUSH"
                    with m.Elif(left != 0):
                        take()
                        m.d.sync += [beat.eq(Cat(beat[8:], self.byte)), held.eq(held + 1)]
                    with m.Else():
                        m.d.sync += [beat.eq(sent), held.eq(1)]
                        with m.If(held == 0):
                            answer(Status.OK)
                        with m.Else():
                            answer(Status.MALFORMED)

    def _push(self, m, beat, held, timer, index, sent, answer):
        """Offer a beat to its stream."""
        ready = Signal()
        with m.Switch(index):
            for n, (name, bits) in enumerate(self.inputs.items()):
                port = getattr(self, f"i_{name}")
                with m.Case(n):
                    m.d.comb += [port.valid.eq(1), ready.eq(port.ready)]
                m.d.comb += port.payload.eq(beat[len(beat) - 8 * beat_bytes(bits):])
        m.d.sync += timer.eq(timer + 1)
        with m.If(ready):
            m.d.sync += [held.eq(0), sent.eq(sent + 1), timer.eq(0)]
            m.next = "SEND"
        with m.Elif(timer == PATIENCE - 1):
            m.d.sync += [timer.eq(0), beat.eq(sent), held.eq(1)]
            answer(Status.STALLED)

    def _receive(self, m, arguments, beat, held, index):
        """Take a beat of an output if there is one, and go on to the end if not."""
        with m.Switch(index):
            for n, (name, bits) in enumerate(self.outputs.items()):
                port = getattr(self, f"o_{name}")
                with m.Case(n):
                    m.d.comb += port.ready.eq(1)
                    with m.If(port.valid):
                        m.d.sync += [beat.eq(port.payload), held.eq(beat_bytes(bits)),
                                     arguments[-8:].eq(arguments[-8:] - 1)]
                    with m.Else():
                        m.next = "END"
