"""SystemRDL of the registers, as its own compiler reads it."""

import pytest

from rtl.bus.registers import Access, Field, Register, RegisterMap
from rtl.emit import verilog
from rtl.emit.formats.systemrdl import systemrdl
from sim.testing.small import small

UNITS = [small("softmax-e2", "plus"), small("attention", "conservative", sort="host"),
         small("layernorm-ai", "paper", channel_parameters="loaded")]


def compiled(text, folder):
    """The address map of a text, or an error."""
    systemrdl = pytest.importorskip("systemrdl", reason="systemrdl-compiler is not installed")
    path = folder / "registers.rdl"
    path.write_text(text)
    compiler = systemrdl.RDLCompiler()
    compiler.compile_file(str(path))
    return compiler.elaborate().top


def access(field):
    """Kind of a field, by what software and hardware may do to it."""
    if field.get_property("onwrite") is not None:
        assert field.get_property("onwrite").name == "woclr"
        assert field.get_property("hwset") and field.get_property("hwclr")
        return Access.CLEAR
    if field.get_property("singlepulse"):
        return Access.PULSE
    if field.is_sw_writable:
        return Access.WRITE if field.is_hw_readable and not field.is_hw_writable else None
    return Access.READ if field.is_hw_writable else Access.CONSTANT


@pytest.mark.parametrize("config", UNITS, ids=lambda config: config.name)
def test_the_compiler_reads_what_the_map_says(config, tmp_path):
    registers = verilog.control_of(config).registers
    top = compiled(systemrdl(registers), tmp_path)
    assert top.inst_name == registers.name and top.get_property("desc") == registers.meaning
    found = [(register.inst_name, register.absolute_address, register.get_property("desc"),
              [(field.inst_name, field.low, field.width, access(field),
                field.get_property("reset") or 0, field.get_property("desc"))
               for field in register.fields()]) for register in top.registers()]
    assert found == [(register.name, register.offset, register.meaning,
                      [(field.name, field.low, field.width, field.access, field.reset,
                        field.meaning) for field in register.fields])
                     for register in registers.registers]


def test_quotes(tmp_path):
    field = Field("A", 0, 1, Access.WRITE, 'a "quoted" \\ word')
    top = compiled(systemrdl(RegisterMap("m", "x", (Register("R", 0, (field,), 'r"'),))), tmp_path)
    register, = top.registers()
    assert register.get_property("desc") == 'r"'
    assert register.fields()[0].get_property("desc") == field.meaning
