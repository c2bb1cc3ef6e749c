import random

import pytest
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.blocks.lookup import constant_multiple, lookup, tabled_multiple
from sim.testing.pysim import combinational, pipelined


@pytest.mark.parametrize("bits, count", [(1, 2), (3, 8), (5, 20), (6, 64), (8, 256)])
def test_lookup(bits, count):
    rng = random.Random(bits)
    words = [rng.randrange(1 << 9) for _ in range(count)]
    evaluate = combinational(lambda m, index: lookup(m, index, words), [bits], 9)
    results = evaluate([(i,) for i in range(1 << bits)])
    assert results == words + [0] * ((1 << bits) - count)


def test_lookup_of_zeros():
    assert combinational(lambda m, index: lookup(m, index, [0, 0]), [1], 1)([(0,), (1,)]) == [0, 0]


@pytest.mark.parametrize("factor", [0, 1, 2, 3, 5, 7, 23, 92, 255, 369, 1023, 0xdeadbeef])
@pytest.mark.parametrize("signed", [False, True])
def test_constant_multiple(factor, signed):
    def build(m, x):
        value = x.as_signed() if signed else x
        result = Signal.like(constant_multiple(value, factor))
        m.d.comb += result.eq(constant_multiple(value, factor))
        widened = Signal(48)
        m.d.comb += widened.eq(result)
        return widened
    inputs = range(256)
    expected = [((x - 256 if signed and x > 127 else x) * factor) % (1 << 48) for x in inputs]
    assert combinational(build, [8], 48)([(x,) for x in inputs]) == expected


@pytest.mark.parametrize("bits, factor, addend", [(3, 5, 0), (7, 92, 3), (9, 369, 1 << 12),
                                                  (16, 0xdead, 77)])
def test_tabled_multiple(bits, factor, addend):
    class Multiple(wiring.Component):
        i: In(bits)
        o: Out(48)
        latency = 1

        def elaborate(self, platform):
            m = Module()
            m.d.comb += self.o.eq(tabled_multiple(m, self.i, factor, addend, "multiple"))
            return m

    dut, rng = Multiple(), random.Random(bits)
    values = [0, 1, (1 << bits) - 1, *(rng.randrange(1 << bits) for _ in range(60))]
    got = pipelined(dut, values, lambda ctx, x: ctx.set(dut.i, x), lambda ctx: ctx.get(dut.o))
    assert got == [x * factor + addend for x in values]
