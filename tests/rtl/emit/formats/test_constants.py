"""Constants of the registers: C's compiler and Python read the same values as the map has."""

import shutil
import subprocess

import pytest

from rtl.emit import verilog
from rtl.emit.formats.constants import c_header, constants, python_module
from sim.testing.small import small

UNITS = [small("softmax-rexp", "plus"), small("attention", "conservative", sort="host"),
         small("layernorm-ai", "paper", channel_parameters="loaded", out_bits=10)]


@pytest.mark.parametrize("config", UNITS, ids=lambda config: config.name)
def test_c_and_python_agree(config, tmp_path):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler is installed")
    registers = verilog.control_of(config).registers
    expected = {name: value for name, value, _ in constants(config, registers)}
    module = {}
    exec(python_module(config, registers), module)
    assert {name: module[name] for name in module if name.isupper()} == expected

    (tmp_path / "unit.h").write_text(c_header(config, registers))
    prefix = config.name.upper()
    lines = "".join(f'  printf("{name} %.17g\\n", (double){prefix}_{name});\n'
                    for name in expected)
    # Twice, as headers of headers are.
    (tmp_path / "main.c").write_text('#include "unit.h"\n#include "unit.h"\n#include <stdio.h>\n'
                                     f"int main(void) {{\n{lines}  return 0;\n}}\n")
    subprocess.run([compiler, "-std=c89", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "main.c",
                    "-o", "main"], cwd=tmp_path, check=True)
    printed = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True)
    assert {name: float(value) for name, value in map(str.split, printed.stdout.splitlines())} == \
        {name: float(value) for name, value in expected.items()}


def test_values():
    config = small("attention", "conservative")
    registers = verilog.control_of(config).registers
    values = {name: value for name, value, _ in constants(config, registers)}
    assert len(values) == len(list(constants(config, registers)))
    assert (values["CONTROL"], values["CONTROL_CLEAR_ERRORS_MASK"]) == (0x0C, 2)
    assert values["ITERATIONS_RESET"] == config.iterations
    assert (values["STREAM_K_LANES"], values["STREAM_K_BYTES"], values["STREAM_K_SIGNED"],
            values["STREAM_K_MOST"]) == (2, 1, 1, config.max_keys * config.dim)
    assert values["STREAM_O_SCALE"] == config.output_scale
