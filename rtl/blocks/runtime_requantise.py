"""Requantisation by a scale and an offset that come with the data."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..fixed import MULTIPLIER_BITS, SHIFT_BITS
from .pipeline import delays

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
        # Scaled elements beyond these bits saturate whatever the offset.
        self._window = max(bits, offset_bits) + 1 if offset_bits else bits
        super().__init__({
            "i": In(signed(width)).array(lanes),
            "multiplier": In(MULTIPLIER_BITS), "shift": In(SHIFT_BITS),
            **({"offset": In(signed(offset_bits))} if offset_bits else {}),
            "o": Out(signed(bits)).array(lanes),
        })

    def elaborate(self, platform):
        m = Module()
        multiplier = delays(m, self.multiplier, 1, "multiplier")
        shift = delays(m, self.shift, 4, "shift")
        offset = (delays(m, self.offset, 4, "offset")[-1] if self.offset_bits
                  else Const(0, 2))
        for k in range(self.lanes):
            product = self._product(m, k, multiplier[1])
            # The bit below the point rounds.
            scaled = Cat(Const(0, 1), product)
            window, over = self._coarse(m, k, scaled, shift[3][2:])
            fine, over = self._fine(m, k, window, over, shift[4][:2])
            total = Signal(signed(self._window + 1), name=f"total_{k}", reset_less=True)
            # The rounding bit, added to itself, is the carry into one adder.
            m.d.sync += total.eq(
                (fine.as_signed() + Cat(fine[0], offset).as_signed())[1:].as_signed())
            self._saturate(m, k, total, over, delays(m, product[-1], 2, f"sign_{k}")[-1])
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

    def _coarse(self, m, k, value, shift):
        """``value`` shifted right by ``4 * shift``, a cycle later, and what was cut above it."""
        for low, name in (2, "first"), (0, "second"):
            value, cut = self._shifted(m, value, low + 2, shift[low:low + 2], f"{name}_{k}")
            if low:
                first = cut
        return (delays(m, value, 1, f"window_{k}")[-1],
                delays(m, Cat(first, cut), 1, f"cut_{k}")[-1])

    def _fine(self, m, k, value, cut, shift):
        """``value`` shifted right by ``shift``, and a cycle later whether anything was cut."""
        value, more = self._shifted(m, value, 0, shift, f"third_{k}")
        return value, delays(m, cut.any() | more, 1, f"over_{k}")[-1]

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

    def _saturate(self, m, k, total, over, sign):
        """Drive the output of a lane, a cycle later."""
        bits = self.bits
        high = total[bits - 1:]
        fits = ~over & (high.all() | ~high.any())
        negative = Mux(over, sign, total[-1])
        output = Signal(signed(bits), name=f"output_{k}", reset_less=True)
        m.d.sync += output.eq(Mux(fits, total[:bits],
                                  Cat((~negative).replicate(bits - 1), negative)))
        m.d.comb += self.o[k].eq(output)
