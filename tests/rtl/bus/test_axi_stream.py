"""AXI4-Stream shell: its ports, its byte lanes, its reset, and rows through it."""

import random

import pytest
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl.bus import AxiStream
from rtl.bus.axi_stream import element_bytes
from sim.testing.passthrough import Passthrough, PassthroughConfig
from sim.testing.shell import simulate


def shell(*, signed=True, masked=True, input_slice=False, output_slice=True, **parameters):
    cls = type("Config", (PassthroughConfig,), {"signed": signed, "masked": masked})
    return AxiStream(Passthrough(cls(**parameters)), input_slice=input_slice,
                     output_slice=output_slice)


def widths(dut):
    return {name: member.shape for name, member in dut.signature.members.items()}


# Ports ------------------------------------------------------------------------------------------

def test_ports():
    assert widths(shell(bits=12, lanes=3)) == {
        "aclk": 1, "aresetn": 1,
        "s_axis_tdata": 48, "s_axis_tkeep": 6, "s_axis_tuser": 3, "s_axis_tlast": 1,
        "s_axis_tvalid": 1, "s_axis_tready": 1,
        "m_axis_tdata": 48, "m_axis_tkeep": 6, "m_axis_tlast": 1,
        "m_axis_tvalid": 1, "m_axis_tready": 1,
        "error": 1,
    }


def test_directions():
    inputs = {name for name, member in shell().signature.members.items() if member.flow is In}
    assert inputs == {"aclk", "aresetn", "s_axis_tdata", "s_axis_tkeep", "s_axis_tuser",
                      "s_axis_tlast", "s_axis_tvalid", "m_axis_tready"}


def test_no_tuser_without_mask():
    assert "s_axis_tuser" not in widths(shell(masked=False))


@pytest.mark.parametrize("bits, size", [(2, 1), (8, 1), (9, 2), (16, 2), (17, 4), (32, 4)])
def test_whole_bytes(bits, size):
    ports = widths(shell(bits=bits, lanes=3))
    assert ports["s_axis_tdata"] == ports["m_axis_tdata"] == 24 * size
    assert ports["s_axis_tkeep"] == ports["m_axis_tkeep"] == 3 * size


def test_element_too_wide():
    from amaranth import unsigned
    with pytest.raises(ValueError, match=r"^Element must be at most 32 bits wide, not 33$"):
        element_bytes(unsigned(33))


def test_core_without_stream():
    with pytest.raises(TypeError, match=r"^Core must have a stream 'i' of beats, not None$"):
        AxiStream(wiring.Component({"error": Out(1)}))


def test_core_with_wrong_payload():
    core = wiring.Component({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8))})
    with pytest.raises(TypeError, match=r"^Core must have a stream 'i' of beats, not unsigned"):
        AxiStream(core)


def test_interface_attributes():
    dut = shell()
    assert dut.aclk.attrs == {
        "X_INTERFACE_INFO": "xilinx.com:signal:clock:1.0 aclk CLK",
        "X_INTERFACE_PARAMETER": "ASSOCIATED_BUSIF s_axis:m_axis, ASSOCIATED_RESET aresetn"}
    assert dut.aresetn.attrs == {
        "X_INTERFACE_INFO": "xilinx.com:signal:reset:1.0 aresetn RST",
        "X_INTERFACE_PARAMETER": "POLARITY ACTIVE_LOW"}
    assert dut.s_axis_tuser.attrs == {
        "X_INTERFACE_INFO": "xilinx.com:interface:axis:1.0 s_axis TUSER"}
    assert dut.m_axis_tready.attrs == {
        "X_INTERFACE_INFO": "xilinx.com:interface:axis:1.0 m_axis TREADY"}
    assert dut.error.attrs == {}


# Simulation -------------------------------------------------------------------------------------

async def send(ctx, cycle, dut, **beat):
    for name, value in {"tkeep": -1, "tuser": 0, "tlast": 1, **beat}.items():
        ctx.set(getattr(dut, f"s_axis_{name}"), value)
    ctx.set(dut.s_axis_tvalid, 1)
    await until(ctx, cycle, dut.s_axis_tready)
    await cycle()
    ctx.set(dut.s_axis_tvalid, 0)


async def until(ctx, cycle, signal):
    for _ in range(100):
        if ctx.get(signal):
            return
        await cycle()
    raise AssertionError(f"{signal.name} stays low")


async def receive(ctx, cycle, dut):
    ctx.set(dut.m_axis_tready, 1)
    await until(ctx, cycle, dut.m_axis_tvalid)
    beat = {name: ctx.get(getattr(dut, f"m_axis_{name}")) for name in ("tdata", "tkeep", "tlast")}
    await cycle()
    return beat


@pytest.mark.parametrize("signed, expected", [(True, 0x0123_FFAB), (False, 0x0123_0FAB)])
def test_extension(signed, expected):
    dut = shell(bits=12, lanes=2, signed=signed)

    async def scenario(ctx, cycle):
        # Bits above the element, 5 and A here, are ignored.
        await send(ctx, cycle, dut, tdata=0x5123_AFAB)
        assert await receive(ctx, cycle, dut) == {"tdata": expected, "tkeep": 0b1111, "tlast": 1}
    simulate(dut, scenario)


@pytest.mark.parametrize("keep, kept, data", [
    (0b1111, 0b1111, 0x0222_0111), (0b0011, 0b0011, 0x0000_0111),
    (0b0001, 0b0011, 0x0000_0111), (0b0111, 0b1111, 0x0222_0111), (0b1011, 0b0011, 0x0000_0111)])
def test_keep_is_that_of_the_lowest_byte(keep, kept, data):
    dut = shell(bits=12, lanes=2)

    async def scenario(ctx, cycle):
        await send(ctx, cycle, dut, tdata=0x0222_0111, tkeep=keep)
        assert await receive(ctx, cycle, dut) == {"tdata": data, "tkeep": kept, "tlast": 1}
    simulate(dut, scenario)


def test_user_masks():
    dut = shell(bits=8, lanes=4)

    async def scenario(ctx, cycle):
        await send(ctx, cycle, dut, tdata=0x44332211, tuser=0b0110, tlast=0)
        assert await receive(ctx, cycle, dut) == {"tdata": 0x44000011, "tkeep": 15, "tlast": 0}
    simulate(dut, scenario)


def test_error_is_the_units():
    dut = shell(lanes=2, max_length=2)

    async def scenario(ctx, cycle):
        ctx.set(dut.m_axis_tready, 1)
        await send(ctx, cycle, dut, tlast=0)
        assert not ctx.get(dut.error)
        await send(ctx, cycle, dut)
        assert ctx.get(dut.error)
        ctx.set(dut.aresetn, 0)
        await cycle()
        assert not ctx.get(dut.error)
    simulate(dut, scenario)


@pytest.mark.parametrize("output_slice", [False, True])
def test_valid_low_in_reset(output_slice):
    dut = shell(output_slice=output_slice)

    async def scenario(ctx, cycle):
        ctx.set(dut.s_axis_tvalid, 1)
        for _ in range(4):
            await cycle()
        assert ctx.get(dut.m_axis_tvalid)
        ctx.set(dut.aresetn, 0)
        for _ in range(4):
            await cycle()
            assert not ctx.get(dut.m_axis_tvalid)
    simulate(dut, scenario)


@pytest.mark.parametrize("input_slice", [False, True])
@pytest.mark.parametrize("output_slice", [False, True])
def test_one_cycle_of_reset_loses_and_repeats_nothing(input_slice, output_slice):
    """Handshakes stay low from the edge that samples the reset until the unit has been reset."""
    dut = shell(bits=8, lanes=1, input_slice=input_slice, output_slice=output_slice)

    async def scenario(ctx, cycle):
        ctx.set(dut.s_axis_tvalid, 1)
        for _ in range(4):
            await cycle()
        ctx.set(dut.aresetn, 0)
        await cycle()
        ctx.set(dut.aresetn, 1)
        assert not ctx.get(dut.m_axis_tvalid) and not ctx.get(dut.s_axis_tready)
        ctx.set(dut.s_axis_tvalid, 0)
        await cycle()
        assert not ctx.get(dut.m_axis_tvalid) and ctx.get(dut.s_axis_tready)
        await send(ctx, cycle, dut, tdata=0x77)
        assert (await receive(ctx, cycle, dut))["tdata"] == 0x77
        for _ in range(4):
            assert not ctx.get(dut.m_axis_tvalid)
            await cycle()
    simulate(dut, scenario)


@pytest.mark.parametrize("input_slice, output_slice, path",
                         [(False, False, True), (True, False, False),
                          (False, True, False), (True, True, False)])
def test_path_against_the_flow(input_slice, output_slice, path):
    dut = shell(input_slice=input_slice, output_slice=output_slice)

    async def scenario(ctx, cycle):
        ctx.set(dut.s_axis_tvalid, 1)
        for _ in range(8):
            await cycle()
        seen = set()
        for ready in (0, 1):
            ctx.set(dut.m_axis_tready, ready)
            seen.add(ctx.get(dut.s_axis_tready))
        assert (len(seen) == 2) == path
    simulate(dut, scenario)


@pytest.mark.parametrize("input_slice", [False, True])
@pytest.mark.parametrize("output_slice", [False, True])
def test_rows(input_slice, output_slice):
    """Random rows, gaps and stalls: all beats arrive, in order, and stay while stalled."""
    dut = shell(bits=8, lanes=2, max_length=64, input_slice=input_slice, output_slice=output_slice)
    rng = random.Random(7)
    beats = [(rng.getrandbits(16), int(rng.random() < 0.3)) for _ in range(300)]

    async def scenario(ctx, cycle):
        sent, received, held = 0, [], None
        ctx.set(dut.s_axis_tkeep, 0b11)
        for _ in range(20 * len(beats)):
            if len(received) == len(beats):
                break
            offer = sent < len(beats) and (ctx.get(dut.s_axis_tvalid) or rng.random() < 0.7)
            ctx.set(dut.s_axis_tvalid, offer)
            if offer:
                ctx.set(dut.s_axis_tdata, beats[sent][0])
                ctx.set(dut.s_axis_tlast, beats[sent][1])
            ctx.set(dut.m_axis_tready, rng.random() < 0.6)
            output = (ctx.get(dut.m_axis_tdata), ctx.get(dut.m_axis_tlast))
            valid, ready = ctx.get(dut.m_axis_tvalid), ctx.get(dut.m_axis_tready)
            assert held is None or valid and output == held
            held = output if valid and not ready else None
            if valid and ready:
                received.append(output)
            accepted = offer and ctx.get(dut.s_axis_tready)
            await cycle()
            if accepted:
                sent += 1
                ctx.set(dut.s_axis_tvalid, 0)
        assert received == beats
        ctx.set(dut.m_axis_tready, 1)
        for _ in range(8):
            assert not ctx.get(dut.m_axis_tvalid)
            await cycle()
    simulate(dut, scenario)


def test_throughput():
    dut = shell(bits=8, lanes=2, max_length=64)

    async def scenario(ctx, cycle):
        ctx.set(dut.s_axis_tvalid, 1)
        ctx.set(dut.s_axis_tlast, 1)
        ctx.set(dut.m_axis_tready, 1)
        seen = []
        for _ in range(50):
            seen.append((ctx.get(dut.s_axis_tready), ctx.get(dut.m_axis_tvalid)))
            await cycle()
        assert seen == [(1, 0)] * 2 + [(1, 1)] * 48
    simulate(dut, scenario)
