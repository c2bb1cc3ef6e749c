"""Top of a design for a board with an ECP5."""

from amaranth import ClockSignal, Elaboratable, Instance, Module, ResetSignal, Signal
from amaranth.lib import io

__all__ = ["Top"]


class Top(Elaboratable):
    """An emitted module with a serial line, at the pins of a board.

    The first LED blinks, so that a board shows that it is configured and has a clock; the second
    shows the unit's ``error``.

    Parameters
    ----------
    module : str
        Name of the module ``<name>_serial``.
    board : Ecp5Board
        The board.
    """

    def __init__(self, module, board):
        self._module, self._board = module, board

    def elaborate(self, platform):
        m = Module()
        uart = platform.request(self._board.uart, 0, dir="-")
        m.submodules.rx = rx = io.Buffer("i", uart.rx)
        m.submodules.tx = tx = io.Buffer("o", uart.tx)
        blink, error = (io.Buffer("o", platform.request(self._board.leds, n, dir="-"))
                        for n in range(2))
        m.submodules.blink, m.submodules.error = blink, error
        for name, signal in self._board.high:
            port = getattr(platform.request(name, 0, dir="-"), signal)
            m.submodules[f"{name}_{signal}"] = buffer = io.Buffer("o", port)
            m.d.comb += buffer.o.eq(1)
        counter = Signal(range(int(platform.default_clk_frequency)))
        m.d.sync += counter.eq(counter + 1)
        m.d.comb += blink.o.eq(counter[-1])
        m.submodules.unit = Instance(
            self._module, i_clk=ClockSignal(), i_rst=ResetSignal(allow_reset_less=True),
            i_rx=rx.i, o_tx=tx.o, o_irq=Signal(name="irq"), o_error=error.o)
        return m
