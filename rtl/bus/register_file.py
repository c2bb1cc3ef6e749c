"""Hardware of a register map."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .registers import WORD, Access

__all__ = ["RegisterFile"]


class RegisterFile(wiring.Component):
    """The fields of a :class:`~rtl.bus.registers.RegisterMap`, behind a port to read and to write.

    A read is combinational. A write takes effect at the end of the cycle of ``write``; it leaves
    alone what software can not write, and bytes whose strobe is low. A field that is set and
    cleared in one cycle is set. Reset gives every field its reset value.

    Parameters
    ----------
    registers : RegisterMap
        Registers.

    Members
    -------
    read_address : In(address_bits - 2)
        Number of the word that is read.
    read_data : Out(32)
        Its value; 0 off the map.
    read_known : Out(1)
        There is a register at ``read_address``.
    write : In(1)
        Write a word.
    write_address : In(address_bits - 2)
        Number of the word that is written.
    write_data : In(32)
        Its value.
    write_strobe : In(4)
        Bit k set: write byte k.
    write_known : Out(1)
        There is a register at ``write_address``.
    <register>_<field> : In(width) or Out(width)
        Value of a field: driven by hardware if software only reads it, by software or by an event
        otherwise. A constant has none.
    <register>_<field>_set : In(1)
        Pulse that sets a field which software clears.
    <register>_<field>_clear : In(1)
        Pulse that clears it, too.
    """

    def __init__(self, registers):
        self.registers = registers
        bits = registers.address_bits - 2
        members = {}
        for _, field, port in registers.fields():
            if field.access is Access.READ:
                members[port] = In(field.width)
            elif field.access is not Access.CONSTANT:
                members[port] = Out(field.width, init=field.reset)
            if field.access is Access.CLEAR:
                members |= {f"{port}_set": In(1), f"{port}_clear": In(1)}
        super().__init__({
            "read_address": In(bits), "read_data": Out(WORD), "read_known": Out(1),
            "write": In(1), "write_address": In(bits), "write_data": In(WORD),
            "write_strobe": In(WORD // 8), "write_known": Out(1), **members})

    def elaborate(self, platform):
        m = Module()
        words = {register.name: (register, []) for register in self.registers.registers}
        enable = Signal(WORD)
        m.d.comb += enable.eq(Cat(strobe.replicate(8) for strobe in self.write_strobe))
        chosen = {}
        for name, (register, _) in words.items():
            chosen[name] = Signal(name=f"write_{name.lower()}")
            m.d.comb += chosen[name].eq(
                self.write & (self.write_address == register.offset // 4))
        for register, field, port in self.registers.fields():
            words[register.name][1].append((field, self._value(field, port)))
            self._write(m, field, port, chosen[register.name], enable)
        with m.Switch(self.write_address):
            with m.Case(*(register.offset // 4 for register, _ in words.values())):
                m.d.comb += self.write_known.eq(1)
        with m.Switch(self.read_address):
            for register, fields in words.values():
                with m.Case(register.offset // 4):
                    m.d.comb += [self.read_known.eq(1), self.read_data.eq(_word(fields))]
        return m

    def _value(self, field, port):
        """What software reads of a field."""
        if field.access is Access.CONSTANT:
            return Const(field.reset, field.width)
        return Const(0, 1) if field.access is Access.PULSE else getattr(self, port)

    def _write(self, m, field, port, chosen, enable):
        """Logic that changes a field."""
        bits = slice(field.low, field.low + field.width)
        data, enable = self.write_data[bits], enable[bits]
        if field.access is Access.WRITE:
            value = getattr(self, port)
            with m.If(chosen):
                m.d.sync += value.eq((value & ~enable) | (data & enable))
        elif field.access is Access.PULSE:
            m.d.sync += getattr(self, port).eq(chosen & data & enable)
        elif field.access is Access.CLEAR:
            value = getattr(self, port)
            clear = getattr(self, f"{port}_clear") | (chosen & data & enable)
            m.d.sync += value.eq(getattr(self, f"{port}_set") | (value & ~clear))


def _word(fields):
    """Fields in their places, zeros between them."""
    parts, place = [], 0
    for field, value in fields:
        parts += [Const(0, field.low - place), value]
        place = field.low + field.width
    return Cat(*parts)
