"""Register maps as data: what they refuse, and what they say."""

import pytest

from rtl.bus.registers import Access, Field, Register, RegisterMap

A = Field("A", 0, 4, Access.WRITE, "a", 5)
B = Field("B", 8, 1, Access.CLEAR, "b")


@pytest.mark.parametrize("arguments, message", [
    (("a", 0, 1), "Name of a field must be an upper-case identifier, not 'a'"),
    (("A", 31, 2), r"Field A must be in bits 0\.\.31, not in 31\.\.32"),
    (("A", 0, 0), r"Field A must be in bits 0\.\.31, not in 0\.\.-1"),
    (("A", 0, 2, Access.PULSE), "Field A must be 1 bit wide, not 2"),
    (("A", 0, 2, Access.CLEAR), "Field A must be 1 bit wide, not 2"),
    (("A", 0, 2, Access.READ, "", 1), "Reset of field A must be 0, not 1"),
    (("A", 0, 2, Access.WRITE, "", 4), r"Reset of field A must be in 0\.\.3, not 4")])
def test_wrong_field(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Field(*arguments, *(Access.WRITE, "")[len(arguments) - 3:])


@pytest.mark.parametrize("arguments, message", [
    (("r", 0, (A,)), "Name of a register must be an upper-case identifier, not 'r'"),
    (("R", 2, (A,)), "Offset of register R must be a multiple of 4, not 2"),
    (("R", 0, ()), "Fields of register R must have names of their own, not be missing"),
    (("R", 0, (A, A)), "Fields of register R must have names of their own, not A, A"),
    (("R", 0, (B, A)), "Field A of register R must be above the fields before it")])
def test_wrong_register(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Register(*arguments, "")


@pytest.mark.parametrize("registers, message", [
    ((("R", 0), ("R", 4)), "Registers must have names of their own, not R, R"),
    ((("R", 4), ("S", 0)), "Offsets must ascend, below 16, not be 0x4, 0x0"),
    ((("R", 0), ("S", 16)), "Offsets must ascend, below 16, not be 0x0, 0x10")])
def test_wrong_map(registers, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        RegisterMap("m", "", tuple(Register(*each, (A,), "") for each in registers), 4)


def test_what_follows_from_it():
    register = Register("R", 4, (A, B), "")
    assert (A.mask, B.mask, A.bits, B.bits, register.reset) == (0xF, 0x100, "3..0", "8", 5)
    registers = RegisterMap("m", "", (register,))
    assert registers["R"] is register
    assert [port for _, _, port in registers.fields()] == ["r_a", "r_b"]
