"""A unit with registers: identity, counters, errors with causes, interrupt, reset, parameters."""

import random

import numpy as np
import pytest
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

import rtl
from rtl.bus import AxiStream, ControlledUnit
from rtl.bus.unit_registers import MAGIC, MAP_VERSION
from sim import model
from sim.testing.axi_lite import Master
from sim.testing.passthrough import Passthrough, PassthroughConfig
from sim.testing.shell import simulate
from sim.testing.small import small


def controlled(config):
    return ControlledUnit(config, AxiStream(config.create()), "1.22.33")


def run(config, scenario):
    """Run ``scenario(ctx, cycle, dut, registers)``."""
    dut = controlled(config)

    async def whole(ctx, cycle):
        await scenario(ctx, cycle, dut, Registers(dut, Master(ctx, cycle, dut)))
    simulate(dut, whole)


class Registers:
    """Registers by name, their fields as dictionaries."""

    def __init__(self, dut, master):
        self.map, self.master = dut.registers, master

    async def read(self, name):
        word, response = await self.master.read(self.map[name].offset)
        assert response == 0
        return {field.name: (word & field.mask) >> field.low for field in self.map[name].fields}

    async def write(self, name, **fields):
        word = sum(value << field.low for field in self.map[name].fields
                   for key, value in fields.items() if key == field.name)
        assert await self.master.write(self.map[name].offset, word) == 0

    async def set_of(self, name):
        """Names of the fields that are not 0."""
        return {key for key, value in (await self.read(name)).items() if value}


async def send(ctx, cycle, dut, bus, beats, last=True):
    """Send beats, each a dictionary of signals; the last one has TLAST, if it is the packet's."""
    for n, beat in enumerate(beats):
        for name, value in {**beat, "tlast": last and n == len(beats) - 1, "tvalid": 1}.items():
            ctx.set(getattr(dut, f"{bus}_{name}"), value)
        for _ in range(200):
            taken = ctx.get(getattr(dut, f"{bus}_tready"))
            await cycle()
            if taken:
                break
        else:
            raise AssertionError(f"{bus} does not take beat {n}")
    ctx.set(getattr(dut, f"{bus}_tvalid"), 0)


async def wait(cycle, count):
    for _ in range(count):
        await cycle()


# Ports ------------------------------------------------------------------------------------------

def test_ports():
    dut = controlled(PassthroughConfig())
    shell = AxiStream(PassthroughConfig().create())
    members = {name: (member.flow is In, member.shape)
               for name, member in dut.signature.members.items()}
    bus = {name.removeprefix("s_axi_"): member for name, member in members.items()
           if name.startswith("s_axi_")}
    assert bus == {
        "awaddr": (True, 12), "awprot": (True, 3), "awvalid": (True, 1), "awready": (False, 1),
        "wdata": (True, 32), "wstrb": (True, 4), "wvalid": (True, 1), "wready": (False, 1),
        "bresp": (False, 2), "bvalid": (False, 1), "bready": (True, 1),
        "araddr": (True, 12), "arprot": (True, 3), "arvalid": (True, 1), "arready": (False, 1),
        "rdata": (False, 32), "rresp": (False, 2), "rvalid": (False, 1), "rready": (True, 1)}
    rest = {name: member for name, member in members.items() if not name.startswith("s_axi_")}
    assert rest.pop("irq") == (False, 1)
    assert rest == {name: (member.flow is In, member.shape)
                    for name, member in shell.signature.members.items()}


def test_interface_attributes():
    dut = controlled(PassthroughConfig())
    assert dut.aclk.attrs["X_INTERFACE_PARAMETER"] == \
        "ASSOCIATED_BUSIF s_axi:s_axis:m_axis, ASSOCIATED_RESET aresetn"
    assert dut.s_axi_wstrb.attrs == {
        "X_INTERFACE_INFO": "xilinx.com:interface:aximm:1.0 s_axi WSTRB"}
    assert dut.s_axi_awaddr.attrs == {
        "X_INTERFACE_INFO": "xilinx.com:interface:aximm:1.0 s_axi AWADDR",
        "X_INTERFACE_PARAMETER": "PROTOCOL AXI4LITE, DATA_WIDTH 32"}
    assert dut.s_axis_tuser.attrs == {
        "X_INTERFACE_INFO": "xilinx.com:interface:axis:1.0 s_axis TUSER"}
    assert dut.irq.attrs == {"X_INTERFACE_INFO": "xilinx.com:signal:interrupt:1.0 irq INTERRUPT",
                             "X_INTERFACE_PARAMETER": "SENSITIVITY LEVEL_HIGH"}


def test_controls_are_no_ports():
    dut = controlled(small("attention", "conservative", sort="host"))
    assert not {"adjust", "iterations", "distance"} & {*dut.signature.members}
    assert "s_axis_c_tdata" in dut.signature.members


# Registers --------------------------------------------------------------------------------------

def test_identity():
    config = PassthroughConfig(bits=5)

    async def scenario(ctx, cycle, dut, registers):
        assert await registers.read("ID") == {"VALUE": MAGIC}
        assert await registers.read("VERSION") == {
            "PATCH": 33, "MINOR": 22, "MAJOR": 1, "MAP": MAP_VERSION}
        assert await registers.read("CONFIG_HASH") == {"VALUE": int(config.hash, 16)}
    run(config, scenario)


def test_counters_and_status():
    config = PassthroughConfig(lanes=2, bits=8)

    async def scenario(ctx, cycle, dut, registers):
        async def counted():
            return [(await registers.read(name))["COUNT"]
                    for name in ("I_PACKETS", "I_BEATS", "O_PACKETS", "O_BEATS")]
        assert await registers.set_of("STATUS") == set()
        beat = {"tdata": 5, "tkeep": 3}
        await send(ctx, cycle, dut, "s_axis", [beat])
        assert await registers.set_of("STATUS") == {"BUSY", "OUTPUT_STALLED"}
        assert await counted() == [1, 1, 0, 0]
        ctx.set(dut.m_axis_tready, 1)
        await send(ctx, cycle, dut, "s_axis", [beat] * 3)
        await wait(cycle, 4)
        assert await registers.set_of("STATUS") == set()
        assert await counted() == [2, 4, 2, 4]
        # Within a row; the output runs dry, and is not stalled.
        for name, value in {**beat, "tlast": 0, "tvalid": 1}.items():
            ctx.set(getattr(dut, f"s_axis_{name}"), value)
        await cycle()
        ctx.set(dut.s_axis_tvalid, 0)
        assert await registers.set_of("STATUS") == {"BUSY", "I_OPEN"}
        ctx.set(dut.m_axis_tready, 0)
        ctx.set(dut.s_axis_tvalid, 1)
        await wait(cycle, 8)
        assert await registers.set_of("STATUS") == {"BUSY", "I_OPEN", "OUTPUT_STALLED",
                                                    "I_STALLED"}
        ctx.set(dut.s_axis_tvalid, 0)
        await registers.write("CONTROL", CLEAR_COUNTERS=1)
        assert await counted() == [0, 0, 0, 0]
        # Clearing is no reset: the row is still there.
        assert "BUSY" in await registers.set_of("STATUS")
    run(config, scenario)


def test_reset_empties_the_unit_and_leaves_the_registers():
    config = PassthroughConfig(lanes=1, bits=8)

    async def scenario(ctx, cycle, dut, registers):
        beat = {"tdata": 1, "tkeep": 1}
        await registers.write("IRQ_ENABLE", ERROR=1)
        await send(ctx, cycle, dut, "s_axis", [beat] * 2)
        for name, value in {**beat, "tlast": 0, "tvalid": 1}.items():
            ctx.set(getattr(dut, f"s_axis_{name}"), value)
        await cycle()
        ctx.set(dut.s_axis_tvalid, 0)
        before = (await registers.read("I_BEATS"))["COUNT"]
        assert await registers.set_of("STATUS") == {"BUSY", "I_OPEN", "OUTPUT_STALLED"}
        await registers.write("CONTROL", RESET=1)
        assert await registers.set_of("STATUS") == set()
        assert await registers.set_of("IRQ_ENABLE") == {"ERROR"}
        assert (await registers.read("I_BEATS"))["COUNT"] == before == 3
        ctx.set(dut.m_axis_tready, 1)
        for _ in range(5):
            assert not ctx.get(dut.m_axis_tvalid)
            await cycle()
        # The next row is whole.
        await send(ctx, cycle, dut, "s_axis", [{"tdata": 9, "tkeep": 1}])
        seen = []
        for _ in range(5):
            if ctx.get(dut.m_axis_tvalid):
                seen.append((ctx.get(dut.m_axis_tdata), ctx.get(dut.m_axis_tlast)))
            await cycle()
        assert seen == [(9, 1)]
        assert await registers.set_of("STATUS") == set()
    run(config, scenario)


def test_interrupt():
    config = PassthroughConfig(lanes=1, max_length=2)

    async def scenario(ctx, cycle, dut, registers):
        ctx.set(dut.m_axis_tready, 1)
        row = [{"tdata": 1, "tkeep": 1}]
        await send(ctx, cycle, dut, "s_axis", row)
        await wait(cycle, 4)
        # Pending, and not enabled.
        assert await registers.set_of("IRQ_PENDING") == {"OUTPUT"}
        assert not ctx.get(dut.irq)
        await registers.write("IRQ_ENABLE", ERROR=1)
        assert not ctx.get(dut.irq)
        await registers.write("IRQ_ENABLE", OUTPUT=1)
        assert ctx.get(dut.irq) and "INTERRUPT" in await registers.set_of("STATUS")
        await registers.write("IRQ_PENDING", ERROR=1)
        assert ctx.get(dut.irq)
        await registers.write("IRQ_PENDING", OUTPUT=1)
        assert not ctx.get(dut.irq)
        await registers.write("IRQ_ENABLE", ERROR=1)
        for _ in range(2):
            # Also for an error whose bit is set already.
            await send(ctx, cycle, dut, "s_axis", [{"tdata": 1, "tkeep": 0}])
            await wait(cycle, 4)
            assert ctx.get(dut.irq)
            await registers.write("IRQ_PENDING", ERROR=1, OUTPUT=1)
            assert not ctx.get(dut.irq)
            assert "I_MALFORMED" in await registers.set_of("ERRORS")
        await registers.write("IRQ_ENABLE")
        await send(ctx, cycle, dut, "s_axis", row)
        assert not ctx.get(dut.irq)
    run(config, scenario)


# Errors -----------------------------------------------------------------------------------------

def row(numbers, lanes, size, malformed):
    """Beats of a row of so many elements, and whether one of its ``keep`` is wrong."""
    beats = [{"tdata": numbers.getrandbits(8), "tkeep": (1 << min(lanes, size - start)) - 1}
             for start in range(0, size, lanes)]
    if malformed and lanes > 1:
        beats[numbers.randrange(len(beats))]["tkeep"] = 0b10
    return beats


@pytest.mark.parametrize("config", [
    small("softmax-e2", "plus", lanes=2), small("softmax-split", "plus", lanes=3),
    small("layernorm-ai", "paper", lanes=4),
    small("layernorm-exact", "rms", row_length="variable", lanes=2)],
    ids=lambda config: config.name)
def test_causes_are_those_of_the_unit(config):
    """A unit raises its error exactly if a cause is found: for random rows, right and wrong."""
    least, most = config.data_sheet.formats["i"].least, config.max_length
    numbers = random.Random(3)

    async def scenario(ctx, cycle, dut, registers):
        ctx.set(dut.m_axis_tready, 1)
        found = set()
        for n in range(24):
            size = numbers.choice((least, most, most + 1, most + config.lanes + 1,
                                   numbers.randint(1, most)))
            malformed = config.lanes > 1 and numbers.random() < 0.3
            await send(ctx, cycle, dut, "s_axis", row(numbers, config.lanes, size, malformed))
            await wait(cycle, 3)
            errors = await registers.set_of("ERRORS")
            status = await registers.set_of("STATUS")
            assert ("UNIT" in errors) == ("ERROR" in status) == bool(errors - {"UNIT"})
            assert ("I_MALFORMED" in errors) == malformed
            if not malformed:
                assert ("I_LONG" in errors) == (size > most)
                assert ("I_SHORT" in errors) == (size < least)
            found |= errors
            if n % 2:
                await registers.write("ERRORS", **dict.fromkeys(errors, 1))
            else:
                await registers.write("CONTROL", CLEAR_ERRORS=1)
            assert await registers.set_of("ERRORS") == set()
            await registers.write("CONTROL", RESET=1)
            assert await registers.set_of("STATUS") == set()
        assert {"UNIT", "I_LONG", "I_MALFORMED"} <= found
    run(config, scenario)


def test_causes_are_found_again_without_a_reset():
    """The unit's own error stays, so that it rises but once; causes are found for each row."""
    config = small("softmax-e2", "plus", lanes=2)

    async def scenario(ctx, cycle, dut, registers):
        ctx.set(dut.m_axis_tready, 1)
        for first in (True, False):
            await send(ctx, cycle, dut, "s_axis", [{"tdata": 0, "tkeep": 0b10}])
            await wait(cycle, 3)
            assert await registers.set_of("ERRORS") == {"I_MALFORMED"} | ({"UNIT"} if first
                                                                          else set())
            await registers.write("CONTROL", CLEAR_ERRORS=1)
            assert await registers.set_of("ERRORS") == set()
    run(config, scenario)


def test_errors_of_a_load():
    config = small("layernorm-ai", "paper", channel_parameters="loaded", lanes=3)
    beats = config.max_beats

    async def scenario(ctx, cycle, dut, registers):
        for count, cause in ((beats, set()), (beats - 1, {"LOAD_SHORT"}), (beats, set()),
                             (beats + 1, {"LOAD_LONG"})):
            await send(ctx, cycle, dut, "s_axis_load", [{"tdata": 1}] * count)
            await wait(cycle, 3)
            assert await registers.set_of("ERRORS") == cause | ({"UNIT"} if cause else set())
            await registers.write("CONTROL", CLEAR_ERRORS=1, RESET=1)
        assert (await registers.read("LOAD_PACKETS"))["COUNT"] == 4
    run(config, scenario)


def test_errors_of_a_set():
    """Too many keys; TLAST within a vector; and what only the engine sees: not as many values.

    Each is found again, once errors are cleared, without a reset.
    """
    config = small("attention", "dense")
    vector, most = config.vector_beats, config.max_keys

    async def scenario(ctx, cycle, dut, registers):
        for keys, values, cause in (
                (vector * most, vector * most, set()),
                (vector * most + vector, 0, {"K_LONG", "UNIT_LONG"}),
                (0, vector * most + 1, {"V_LONG", "UNIT_LONG", "UNIT_WITHIN"}),
                (vector, 2 * vector, {"UNIT_UNEVEN"})):
            for bus, count in (("k", keys), ("v", values)):
                if count:
                    await send(ctx, cycle, dut, f"s_axis_{bus}", [{"tdata": 0}] * count)
            await wait(cycle, 3)
            errors = await registers.set_of("ERRORS")
            assert errors == cause | ({"UNIT"} if cause else set())
            await registers.write("CONTROL", CLEAR_ERRORS=1, RESET=1)
        assert vector > 1
        for _ in range(2):
            await send(ctx, cycle, dut, "s_axis_k", [{"tdata": 0}] * (vector + 1))
            await wait(cycle, 3)
            assert await registers.set_of("ERRORS") == {"K_SHORT", "UNIT", "UNIT_WITHIN"}
            assert "ERROR" in await registers.set_of("STATUS")
            assert (await registers.read("CAUSES"))["VALUE"] == 0b10
            await registers.write("CONTROL", CLEAR_ERRORS=1)
            assert await registers.set_of("ERRORS") == set()
            assert "ERROR" not in await registers.set_of("STATUS")
            assert (await registers.read("CAUSES"))["VALUE"] == 0
    run(config, scenario)


class Flagged(Passthrough):
    """Gives the number of its rows modulo 8 at a port of its own."""

    def __init__(self, config):
        self.config = config
        members = Passthrough(config).signature.members
        wiring.Component.__init__(self, {**members, "phase": Out(3)})

    def elaborate(self, platform):
        m = super().elaborate(platform)
        with m.If(self.i.valid & self.i.ready & self.i.p.last):
            m.d.sync += self.phase.eq(self.phase + 1)
        return m


class FlaggedConfig(PassthroughConfig):
    """Configuration of a unit with an output that is no stream."""

    def create(self):
        return Flagged(self)


def test_marked_answers():
    """The answer of a set without keys sets a bit and raises the interrupt, others do not."""
    config = rtl.unit("attention")(store="resident", dim=2, io_lanes=2, max_keys=2, sets=2)

    async def scenario(ctx, cycle, dut, registers):
        async def command(*words):
            await send(ctx, cycle, dut, "s_axis_c", [{"tdata": words[0] | words[1] << 32}])

        async def marked(number):
            """What an answer sets, once it has left."""
            before = (await registers.read("O_PACKETS"))["COUNT"]
            await command(number << 16, 1)
            await send(ctx, cycle, dut, "s_axis_q", [{"tdata": 0x0102}])
            while (await registers.read("O_PACKETS"))["COUNT"] == before:
                pass
            irq, found = ctx.get(dut.irq), await registers.set_of("ERRORS")
            await registers.write("ERRORS", **dict.fromkeys(found, 1))
            await registers.write("IRQ_PENDING", ERROR=1)
            return irq, found
        ctx.set(dut.m_axis_tready, 1)
        await registers.write("IRQ_ENABLE", ERROR=1)
        await command(1, 1)
        for stream in "kv":
            await send(ctx, cycle, dut, f"s_axis_{stream}", [{"tdata": 0x7F80}])
        assert await marked(0) == (0, set())
        assert await marked(1) == (1, {"O_MARKED"})
        assert await marked(0) == (0, set())
        assert await registers.read("ERRORS") == dict.fromkeys(await registers.read("ERRORS"), 0)
    run(config, scenario)


def test_output_that_is_no_stream():
    """It can be read, and stays a port."""
    async def scenario(ctx, cycle, dut, registers):
        ctx.set(dut.m_axis_tready, 1)
        for count in range(3):
            assert await registers.read("PHASE") == {"VALUE": count}
            assert ctx.get(dut.phase) == count
            await send(ctx, cycle, dut, "s_axis", [{"tdata": 1, "tkeep": 1}])
    run(FlaggedConfig(lanes=1), scenario)


# Parameters -------------------------------------------------------------------------------------

def test_parameters():
    """They start as the configuration says, and one write makes the unit take them."""
    config = small("attention", "conservative")
    dut = controlled(config)
    assert [register.name for register in dut.registers.registers
            if register.offset >= 0x100] == ["ITERATIONS", "DISTANCE", "ADJUST",
                                                 "CAUSES"]
    seen = []

    async def scenario(ctx, cycle):
        registers = Registers(dut, Master(ctx, cycle, dut))
        assert await registers.read("ITERATIONS") == {"VALUE": config.iterations}
        assert await registers.read("DISTANCE") == {"VALUE": config.distance}
        await registers.write("ITERATIONS", VALUE=2)
        await registers.write("DISTANCE", VALUE=1)
        assert not ctx.get(dut.shell.adjust)
        master = registers.master
        master.set(awaddr=registers.map["ADJUST"].offset, wdata=1, wstrb=15, awvalid=1, wvalid=1,
                   bready=1)
        await cycle()
        master.set(awvalid=0, wvalid=0)
        for _ in range(5):
            seen.append((ctx.get(dut.shell.adjust), ctx.get(dut.shell.iterations),
                         ctx.get(dut.shell.distance)))
            await cycle()
        assert await registers.read("ITERATIONS") == {"VALUE": 2}
    simulate(dut, scenario)
    assert [each[0] for each in seen].count(1) == 1 and (1, 2, 1) in seen


# Parameters of rows ------------------------------------------------------------------------------

def test_parameters_of_rows():
    """Rows have the values of the last APPLY, all of them together, or those of their TUSER."""
    config = small("softmax-e2", "plus", accumulator_bits=16, sink=True)
    names = list(config.row_fields)
    first = {"multiplier": 3, "shift": 2, "offset": -9, "sink": 5, "sink_valid": 1}
    second = {"multiplier": 60000, "shift": 20, "offset": 30, "sink": 0, "sink_valid": 0}
    third = {"multiplier": 1, "shift": 0, "offset": 0, "sink": -128, "sink_valid": 1}
    x = np.array([40, -20, 77])

    def bits(row):
        return sum((row[name] & (1 << field.width) - 1) << config.lanes + field.offset
                   for name, field in config.input_layout["row"].shape)

    async def scenario(ctx, cycle, dut, registers):
        async def outputs(user, between=None):
            """What a row gives; ``between`` runs while it waits for its second beat."""
            words = [int(v) & 0xFFFF for v in (*x, 0)]
            beats = [{"tdata": words[k] | words[k + 1] << 16, "tkeep": keep, "tuser": user}
                     for k, keep in ((0, 15), (2, 3))]
            for n, beat in enumerate(beats):
                await send(ctx, cycle, dut, "s_axis", [beat], last=n == 1)
                if between and not n:
                    await between()
            got = []
            for _ in range(100):
                if ctx.get(dut.m_axis_tvalid):
                    data = ctx.get(dut.m_axis_tdata)
                    got += [data & 0xFF, data >> 8]
                await cycle()
                if len(got) == 4:
                    return got[:3]
            raise AssertionError("no row came")

        async def write(row):
            for name in names:
                field = config.input_layout["row"].shape[name]
                await registers.write(f"ROW_{name.upper()}",
                                      VALUE=row[name] & (1 << field.width) - 1)

        async def apply():
            await write(second)
            await registers.write("ROW", APPLY=1, REGISTERS=1)

        def expected(row):
            return model.run(config, x, **row).tolist()

        ctx.set(dut.m_axis_tready, 1)
        assert await registers.read("ROW") == {"APPLY": 0, "REGISTERS": 1}
        await write(first)
        await registers.write("ROW", APPLY=1, REGISTERS=1)
        assert await outputs(bits(third)) == expected(first)
        # Neither values that are not applied nor those applied later reach a row.
        await write(third)
        assert await outputs(0) == expected(first)
        assert await outputs(0, between=apply) == expected(first)
        assert await outputs(0) == expected(second)
        await registers.write("ROW", REGISTERS=0)
        assert await outputs(bits(third)) == expected(third)
        assert len({tuple(expected(row)) for row in (first, second, third)}) == 3
    run(config, scenario)
