"""Requantisation by a scale and an offset that come with the data."""

from amaranth import Cat, Const, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..fixed import MULTIPLIER_BITS, SHIFT_BITS
from .pipeline import delays
from .rounding_shift import RoundingShift

__all__ = ["RuntimeRequantiser"]

# Widest element: its product fits 64 bits, as in the model.
WIDEST = 48

# Unsigned bits of an element that the wide port of a DSP block takes.
CHUNK = 24


class RuntimeRequantiser(wiring.Component):
    """``o = saturate(floor(i * multiplier / 2**shift + 1/2) + offset)`` of each lane.

    :func:`rtl.fixed.requantised` in hardware: exact, rounds half up, saturates after ``offset`` is
    added. All lanes of a cycle share the parameters of that cycle; the next cycle may bring others.

    Latency :attr:`latency` cycles, throughput one beat per cycle; never stalls. An element of
    up to 25 bits takes one DSP block, a wider one two.

    Parameters
    ----------
    width : int
        Width of an element, at most 48.
    bits : int
        Width of a result.
    lanes : int
        Elements per beat.
    offset_bits : int
        Width of the offset; 0 for none.

    Members
    -------
    i : In(signed(width)).array(lanes)
        Elements.
    multiplier : In(16)
        Factor, unsigned. 0 gives the offset.
    shift : In(6)
        Fraction bits of the factor.
    offset : In(signed(offset_bits))
        Offset, in steps of the result; absent where ``offset_bits`` is 0.
    o : Out(signed(bits)).array(lanes)
        Results.

    Raises
    ------
    ValueError
        If ``width`` is too large.
    """

    #: Cycles from an element and its parameters to the result.
    latency = 6

    def __init__(self, width, bits, *, lanes=1, offset_bits=0):
        if width > WIDEST:
            raise ValueError(f"RuntimeRequantiser: width must be at most {WIDEST}, not {width}")
        self.width, self.bits, self.lanes = width, bits, lanes
        self.offset_bits = offset_bits
        super().__init__({
            "i": In(signed(width)).array(lanes),
            "multiplier": In(MULTIPLIER_BITS), "shift": In(SHIFT_BITS),
            **({"offset": In(signed(offset_bits))} if offset_bits else {}),
            "o": Out(signed(bits)).array(lanes),
        })

    def elaborate(self, platform):
        m = Module()
        multiplier = delays(m, self.multiplier, 1, "multiplier")[-1]
        cycles = self.latency - RoundingShift.latency
        shift = delays(m, self.shift, cycles, "shift")[-1]
        if self.offset_bits:
            offset = delays(m, self.offset, cycles, "offset")[-1]
        for k in range(self.lanes):
            m.submodules[f"shift_{k}"] = shifter = RoundingShift(
                self.width + MULTIPLIER_BITS, self.bits, offset_bits=self.offset_bits)
            m.d.comb += [shifter.i.eq(self._product(m, k, multiplier)), shifter.shift.eq(shift),
                         self.o[k].eq(shifter.o)]
            if self.offset_bits:
                m.d.comb += shifter.offset.eq(offset)
        return m

    # The registers next to the multiplier are those of a DSP block.

    def _product(self, m, k, multiplier):
        """Element times ``multiplier``, which comes a cycle after it; three cycles later."""
        chunks = [self.i[k]]
        if self.width > CHUNK + 1:
            chunks = [Cat(self.i[k][:CHUNK], Const(0, 1)).as_signed(),
                      self.i[k][CHUNK:].as_signed()]
        products = []
        for number, chunk in enumerate(chunks):
            operand = Signal.like(chunk, name=f"operand_{k}_{number}", reset_less=True)
            product = Signal(signed(len(chunk) + MULTIPLIER_BITS), name=f"product_{k}_{number}",
                             reset_less=True)
            m.d.sync += [operand.eq(chunk),
                         product.eq(operand * Cat(multiplier, Const(0, 1)).as_signed())]
            products.append(product)
        whole = Signal(signed(self.width + MULTIPLIER_BITS), name=f"whole_{k}", reset_less=True)
        if len(products) == 1:
            m.d.sync += whole.eq(products[0])
        else:
            low, high = products
            # The low chunk is never negative.
            m.d.sync += whole.eq(Cat(low[:CHUNK], (high + low[CHUNK:-1])[:len(whole) - CHUNK]))
        return whole
