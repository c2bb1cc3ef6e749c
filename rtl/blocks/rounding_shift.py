"""Right shift by an amount that comes with the data: rounded, with an offset, saturated."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..fixed import SHIFT_BITS
from .pipeline import delays

__all__ = ["RoundingShift"]


class RoundingShift(wiring.Component):
    """``o = saturate(floor(i / 2**shift + 1/2) + offset)``.

    Exact, rounds half up, saturates after ``offset`` is added. Latency :attr:`latency` cycles,
    throughput one element per cycle; never stalls.

    Parameters
    ----------
    width : int
        Width of an element.
    bits : int
        Width of a result.
    offset_bits : int
        Width of the offset; 0 for none.

    Members
    -------
    i : In(signed(width))
        Element.
    shift : In(6)
        Places.
    offset : In(signed(offset_bits))
        Offset, in steps of the result; absent where ``offset_bits`` is 0.
    o : Out(signed(bits))
        Result.
    """

    #: Cycles from an element, its shift and its offset to the result.
    latency = 3

    def __init__(self, width, bits, *, offset_bits=0):
        self.width, self.bits, self.offset_bits = width, bits, offset_bits
        # Shifted elements beyond these bits saturate whatever the offset.
        self._window = max(bits, offset_bits) + 1 if offset_bits else bits
        super().__init__({
            "i": In(signed(width)), "shift": In(SHIFT_BITS),
            **({"offset": In(signed(offset_bits))} if offset_bits else {}),
            "o": Out(signed(bits))})

    def elaborate(self, platform):
        m = Module()
        fine_shift = delays(m, self.shift[:2], 1, "shift")[-1]
        offset = delays(m, self.offset, 1, "offset")[-1] if self.offset_bits else Const(0, 2)
        # The bit below the point rounds.
        window, over = self._coarse(m, Cat(Const(0, 1), self.i), self.shift[2:])
        fine, over = self._fine(m, window, over, fine_shift)
        total = Signal(signed(self._window + 1), reset_less=True)
        # The rounding bit, added to itself, is the carry into one adder.
        m.d.sync += total.eq(
            (fine.as_signed() + Cat(fine[0], offset).as_signed())[1:].as_signed())
        self._saturate(m, total, over, delays(m, self.i[-1], 2, "sign")[-1])
        return m

    def _coarse(self, m, value, shift):
        """``value`` shifted right by ``4 * shift``, a cycle later, and what was cut above it."""
        for low, name in (2, "first"), (0, "second"):
            value, cut = self._shifted(m, value, low + 2, shift[low:low + 2], name)
            if low:
                first = cut
        return delays(m, value, 1, "window")[-1], delays(m, Cat(first, cut), 1, "cut")[-1]

    def _fine(self, m, value, cut, shift):
        """``value`` shifted right by ``shift``, and a cycle later whether anything was cut."""
        value, more = self._shifted(m, value, 0, shift, "third")
        return value, delays(m, cut.any() | more, 1, "over")[-1]

    def _shifted(self, m, value, place, step, name):
        """``value`` shifted right by ``step << place``, with the bits that later shifts need.

        Also whether a bit above those differs from the sign.
        """
        kept = self._window + (1 << place)
        reach = 3 << place
        sign = value[-1]
        wide = Cat(value, sign.replicate(max(kept + reach - len(value), 0)))
        chosen, cut = Signal(kept, name=name), Signal(name=f"{name}_cut")
        # Segments that the larger shifts bring into the bits that are kept.
        ends = [kept - 1 + (n << place) for n in range(4)] + [len(wide)]
        differ = [(wide[a:b] ^ sign.replicate(b - a)).any()
                  for a, b in zip(ends[:-1], ends[1:], strict=True)]
        with m.Switch(step):
            for n in range(4):
                with m.Case(n):
                    m.d.comb += [chosen.eq(wide[n << place:(n << place) + kept]),
                                 cut.eq(Cat(differ[n:]).any())]
        return chosen, cut

    def _saturate(self, m, total, over, sign):
        """Drive the output, a cycle later."""
        high = total[self.bits - 1:]
        fits = ~over & (high.all() | ~high.any())
        negative = Mux(over, sign, total[-1])
        output = Signal.like(self.o, name="output", reset_less=True)
        m.d.sync += output.eq(Mux(fits, total[:self.bits],
                                  Cat((~negative).replicate(self.bits - 1), negative)))
        m.d.comb += self.o.eq(output)
