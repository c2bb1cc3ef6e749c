"""The registers of a unit: identity, control, status, errors, interrupt, counters, parameters.

The same map for every unit: what depends on the unit are the fields and counters that each of its
streams has, and its run-time parameters.
"""

from __future__ import annotations

from amaranth import Shape
from amaranth.lib.wiring import In, Out

from .dma_registers import channel_registers
from .registers import WORD, Access, Field, Register, RegisterMap

__all__ = ["CLEAR", "MAGIC", "MAP_VERSION", "MAP_VERSION_DMA", "checks", "unit_registers"]

#: What the register ID holds: "TRTL" in ASCII.
MAGIC = 0x5452544C

#: Number of the arrangement of the registers; a driver is written for one.
MAP_VERSION = 1

#: The same with DMA channels.
MAP_VERSION_DMA = 2

# Offsets of the counters, of the parameters of rows, and of the unit's own parameters.
COUNTERS = 0x40
ROWS = 0xC0
PARAMETERS = 0x100

#: Input of a unit with causes that clears them: no register of its own, CONTROL drives it.
CLEAR = "clear"

# Errors of a stream's packets, by the monitor's event.
ERRORS = {
    "long": "has more than {most} elements",
    "short": "ends with fewer than {least} elements, or not at a multiple of {step}",
    "malformed": "has a beat whose kept lanes are not the low ones, or not all before the last",
}


def unit_registers(config, shell, monitors, version, channels=()):
    """Register map of a unit.

    Parameters
    ----------
    config : UnitConfig
        Configuration of the unit.
    shell : AxiStream
        Its AXI4-Stream shell.
    monitors : dict of str to StreamMonitor
        Monitor of each stream.
    version : str
        Version of the generator, three numbers.
    channels : sequence of Channel
        DMA channels, if the unit has such.

    Returns
    -------
    RegisterMap
    """
    inputs = [name for name, flow in shell.flows.items() if flow is In]
    return RegisterMap(
        config.name, f"Registers of {config.name}",
        (*_identity(config, version, MAP_VERSION_DMA if channels else MAP_VERSION),
         *_control(config, inputs, monitors, bool(channels)), *_counters(config, shell),
         *_rows(config), *_parameters(config, shell), *channel_registers(channels)))


def checks(inputs, monitors):
    """Yield stream, event and field name of each error that a monitor of an input finds."""
    for name in inputs:
        for event in monitors[name].checks:
            yield name, event, f"{name}_{event}".upper()


def _identity(config, version, arrangement):
    constant = Access.CONSTANT
    major, minor, patch = map(int, version.split(".")[:3])
    yield Register("ID", 0x00, (Field("VALUE", 0, WORD, constant, "always this number", MAGIC),),
                   "Identifies a unit of this generator")
    yield Register("VERSION", 0x04, (
        Field("PATCH", 0, 8, constant, "third number of the generator's version", patch),
        Field("MINOR", 8, 8, constant, "second number", minor),
        Field("MAJOR", 16, 8, constant, "first number", major),
        Field("MAP", 24, 8, constant, "arrangement of the registers", arrangement)),
        "Version of the generator, and of the arrangement of the registers")
    yield Register("CONFIG_HASH", 0x08, (
        Field("VALUE", 0, WORD, constant, "hash that manifest.json has", int(config.hash, 16)),),
        "Hash of the configuration: tells software which unit is in the device")


def _control(config, inputs, monitors, dma):
    sheet, found = config.data_sheet, [*checks(inputs, monitors)]
    yield Register("CONTROL", 0x0C, (
        Field("RESET", 0, 1, Access.PULSE,
              "empties the unit and its DMA channels and clears its error output; "
              "wait until STATUS.DRAINING is 0" if dma else
              "empties the unit and clears its error output; packets under way are lost, on the "
              "buses too, so stop both ends of the streams first"),
        Field("CLEAR_ERRORS", 1, 1, Access.PULSE,
              "clears ERRORS" + (" and CAUSES, the unit's error output with them"
                                 if config.causes else "")),
        Field("CLEAR_COUNTERS", 2, 1, Access.PULSE, "sets all counters to 0")),
        "Commands")
    yield Register("STATUS", 0x10, (
        Field("BUSY", 0, 1, Access.READ,
              f"the unit holds a {sheet.formats[config.source].packet}, or a part of one"),
        Field("ERROR", 1, 1, Access.READ, "the unit's error output, sticky until "
              + ("CLEAR_ERRORS or a reset" if config.causes else "a reset")),
        Field("INTERRUPT", 2, 1, Access.READ, "the interrupt output"),
        *([Field("DRAINING", 3, 1, Access.READ,
                 "a reset is under way: the DMA channels wait for memory")] if dma else []),
        *(Field(f"{name.upper()}_OPEN", 8 + n, 1, Access.READ,
                f"the last beat taken from {name} had no TLAST")
          for n, name in enumerate(inputs)),
        Field("OUTPUT_STALLED", 16, 1, Access.READ, "a beat waits at the output"),
        *(Field(f"{name.upper()}_STALLED", 24 + n, 1, Access.READ, f"a beat waits at {name}")
          for n, name in enumerate(inputs))),
        "What the unit does in this cycle")
    fields = [*((field, _error(config, name, event)) for name, event, field in found),
              *((f"{name}_MARKED".upper(), f"an answer at {name} is 0 and has a mark: {meaning}")
                for name, meaning in sheet.marks.items()),
              # Of causes that the unit keeps, a bit is set when it rises there.
              *((f"UNIT_{name}", meaning) for name, meaning in config.causes.items())]
    yield Register("ERRORS", 0x14, (
        Field("UNIT", 0, 1, Access.CLEAR, "the unit's error output rose"),
        *(Field(field, 1 + n, 1, Access.CLEAR, meaning)
          for n, (field, meaning) in enumerate(fields))),
        "Errors since they were cleared, with their causes")
    events = (("OUTPUT", f"a {sheet.formats[[*config.streams][-1]].packet} left the unit"),
              ("ERROR", f"an error was found, whether or not its bit in ERRORS "
                        f"{'or DMA_..._ERRORS ' if dma else ''}was set already"),
              *([("WRITTEN", "the output's DMA channel has done a descriptor")] if dma else []))
    yield Register("IRQ_ENABLE", 0x18, tuple(
        Field(name, n, 1, Access.WRITE, f"interrupt when {event}")
        for n, (name, event) in enumerate(events)),
        "Events that raise the interrupt output")
    yield Register("IRQ_PENDING", 0x1C, tuple(
        Field(name, n, 1, Access.CLEAR, event) for n, (name, event) in enumerate(events)),
        "Events since they were cleared; the interrupt is high while an enabled one is set")


def _error(config, name, event):
    """What an error of a stream's packets is."""
    form = config.data_sheet.formats[name]
    text = ERRORS[event].format(most=form.most, least=form.least, step=form.step)
    if event == "short" and form.step == 1:
        text = text.partition(",")[0]
    return f"a {form.packet} at {name} {text}"


def _counters(config, shell):
    for n, name in enumerate(shell.flows):
        packet = config.data_sheet.formats[name].packet
        for m, (what, meaning) in enumerate((("PACKETS", f"{packet}s"), ("BEATS", "beats"))):
            side = "taken from" if shell.flows[name] is In else "given at"
            yield Register(f"{name.upper()}_{what}", COUNTERS + 8 * n + 4 * m, (
                Field("COUNT", 0, WORD, Access.READ, f"{meaning}, modulo 2**32"),),
                f"Number of {meaning} {side} {name}")


def _rows(config):
    """Registers of what the first beats of rows bring, if they bring anything."""
    sheet = config.data_sheet
    if not sheet.row:
        return
    packet = sheet.formats[config.source].packet
    yield Register("ROW", ROWS, (
        Field("APPLY", 0, 1, Access.PULSE,
              f"{packet}s that begin from now on have the values that the registers ROW_ hold now"),
        Field("REGISTERS", 1, 1, Access.WRITE,
              f"1: {packet}s have the values of the last APPLY; 0: those of their TUSER", 1)),
        f"Where the parameters of {packet}s come from")
    layout = config.streams[config.source]["row"].shape
    for n, (name, field) in enumerate(layout, 1):
        yield Register(f"ROW_{name.upper()}", ROWS + 4 * n, (
            Field("VALUE", 0, field.width, Access.WRITE, sheet.row[name]),),
            f"Parameter of {packet}s, from the next APPLY on")


def _parameters(config, shell):
    """Registers of the ports that are no streams: inputs that hold a value, pulses, outputs."""
    own = {CLEAR} if config.causes else set()
    held = [name for name in config.controls if name not in config.strobes]
    pulses = [name for name in config.strobes if name not in own]
    for n, name in enumerate((*held, *pulses)):
        width = Shape.cast(shell.plain[name].shape).width
        strobe = name in config.strobes
        yield Register(name.upper(), PARAMETERS + 4 * n, (
            Field("VALUE", 0, width, Access.PULSE if strobe else Access.WRITE,
                  config.data_sheet.ports[name],
                  0 if strobe else int(getattr(config, name, 0))),),
            "Command of the unit" if strobe else "Run-time parameter of the unit")
    outputs = [name for name, member in shell.plain.items() if member.flow is Out]
    for n, name in enumerate(outputs, len(held) + len(pulses)):
        yield Register(name.upper(), PARAMETERS + 4 * n, (
            Field("VALUE", 0, Shape.cast(shell.plain[name].shape).width, Access.READ,
                  config.data_sheet.ports.get(name, f"output {name} of the unit")),),
            "Output of the unit that is no stream")
