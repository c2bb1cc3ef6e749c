"""Flashing: every step, printed and done, with programs that record what they are told."""

import json
import shlex
import shutil
import subprocess

import pytest

from boards import flash
from boards.linux.bitstream import Bitstream, firmware
from boards.linux.device_tree import COMPILE
from boards.testing.bitstream import bitstream
from boards.tools import TOOLS

NAME = "softmax_e2_b8"
PARTS = {"arty-z7-20": "7z020clg400", "adrv9361-z7035": "7z035ifbg676",
         "xc7z035-ffg676": "7z035ffg676"}


@pytest.fixture
def design(tmp_path):
    """Make the folder that a build leaves for a board, and return it."""
    def make(board, part=None):
        folder = tmp_path / "build" / board / NAME
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps({"name": NAME}))
        (folder / "top.bit").write_bytes(bitstream(part or PARTS.get(board, "")))
        return folder
    return make


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Every program records its words; returns those of all calls. One may be given a script."""
    scripts, calls = {}, tmp_path / "calls"
    for name, tool in TOOLS.items():
        path = tmp_path / "programs" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "$@" >> {calls}\necho >> {calls}\n'
                        f'[ ! -e {path}.script ] || . {path}.script\n')
        path.chmod(0o755)
        monkeypatch.setenv(tool.variable, str(path))
        scripts[name] = tmp_path / "programs" / f"{name}.script"

    def recorded():
        text = calls.read_text() if calls.exists() else ""
        return [call.splitlines() for call in text.split("\n\n") if call]
    recorded.scripts = scripts
    return recorded


def run(tmp_path, *words):
    return flash.main([*map(str, words), "--out", str(tmp_path / "build")])


def shown(printed):
    """Commands among what was printed."""
    return [shlex.split(line[6:]) for line in printed.splitlines() if line.startswith("run ")]


CASES = {
    "ulx3s": (["ulx3s"], [["openFPGALoader", "-b", "ulx3s", "F/top.bit"]]),
    "ulx3s flash": (["ulx3s", "--write-flash"],
                    [["openFPGALoader", "-b", "ulx3s", "-f", "F/top.bit"]]),
    "arty": (["arty-z7-20"], [["openFPGALoader", "-b", "arty_z7_20", "F/top.bit"]]),
    "7035": (["adrv9361-z7035", "--adapter", "mine.cfg"],
             [["openocd", "-f", "mine.cfg", "-f", "F/jtag.cfg", "-c",
               "init; pld load 0 {F/top.bit}; shutdown"]]),
    "linux": (["arty-z7-20", "--host", "root@zynq", "--base", "my.dtb"],
              [["dtc", *COMPILE, "-o", "F/overlay.dtbo", "F/overlay.dts"],
               ["fdtoverlay", "-i", "my.dtb", "-o", "F/system.dtb", "F/overlay.dtbo"],
               ["scp", "F/system.dtb", "root@zynq:system.dtb"],
               ["scp", f"F/{NAME}.bit.bin", f"root@zynq:/lib/firmware/{NAME}.bit.bin"],
               ["ssh", "root@zynq", flash._load(f"{NAME}.bit.bin")]]),
    "boot": (["adrv9361-z7035", "--way", "boot", "--loader", "fsbl.elf", "--program", "u.elf"],
             [["bootgen", "-image", "F/boot.bif", "-arch", "zynq", "-w", "-o", "F/BOOT.BIN"]]),
}


@pytest.mark.parametrize("words, expected", CASES.values(), ids=CASES)
def test_steps(words, expected, design, programs, tmp_path, capsys):
    """A dry run prints the commands that a run then does, and leaves no file behind."""
    folder = design(words[0])
    before = sorted(folder.iterdir())
    expected = [[word.replace("F/", f"{folder}/") for word in each] for each in expected]
    assert run(tmp_path, *words, "--dry-run") == 0
    dry = capsys.readouterr().out
    assert shown(dry) == expected and programs() == []
    assert sorted(folder.iterdir()) == before
    assert run(tmp_path, *words) == 0
    assert capsys.readouterr().out == dry
    assert programs() == expected


def test_dry_run_without_a_bitstream(design, tmp_path, capsys):
    """What could be done is printed before there is anything; a run is refused."""
    folder = design("arty-z7-20")
    (folder / "top.bit").unlink()
    assert run(tmp_path, "arty-z7-20", "--host", "zynq", "--dry-run") == 0
    assert "write" in capsys.readouterr().out
    assert run(tmp_path, "arty-z7-20", "--host", "zynq") == 2
    assert capsys.readouterr().err == (
        f"error: Bitstream '{folder}/top.bit' is not there: python -m boards.build arty-z7-20 UNIT "
        "makes it\n")


def test_files(design, programs, tmp_path):
    folder = design("arty-z7-20")
    assert run(tmp_path, "arty-z7-20", "--host", "zynq", "--memory", "0x10000000,0x400000") == 0
    assert (folder / f"{NAME}.bit.bin").read_bytes() == firmware(
        Bitstream.parse((folder / "top.bit").read_bytes()))
    assert "<0x10000000 0x400000>" in (folder / "overlay.dts").read_text()


def test_what_the_board_does(design, programs, tmp_path, monkeypatch, capsys):
    """The commands for the other end, in a shell, with a manager of files."""
    design("arty-z7-20")
    manager = tmp_path / "manager"
    manager.mkdir()
    monkeypatch.setattr(flash, "MANAGER", str(manager))
    programs.scripts["ssh"].write_text('sh -c "$2"\n')

    def load():
        return run(tmp_path, "arty-z7-20", "--host", "zynq")
    assert load() == 1
    printed = capsys.readouterr()
    assert printed.err == ("error: Program ssh failed with status 1: it was to load the logic, and "
                           "check that it works\n")
    for name, text in ("firmware", ""), ("flags", "1\n"), ("state", "write error\n"):
        (manager / name).write_text(text)
    assert load() == 1
    (manager / "state").write_text("operating\n")
    assert load() == 0
    assert (manager / "firmware").read_text() == f"{NAME}.bit.bin\n"
    assert (manager / "flags").read_text() == "0\n"


@pytest.mark.parametrize("words, message", [
    ([], "Board must be one of ulx3s, "), (["arty"], "Board must be one of "),
    (["ulx3s", "--host", "zynq"], "Way must be jtag for ulx3s"),
    (["arty-z7-20", "--way", "linux"], "Option --host must be given"),
    (["arty-z7-20", "--host=-oProxyCommand=x"], "Option --host must be USER@HOST"),
    (["arty-z7-20", "--way", "boot"], "Option --loader must be given"),
    (["arty-z7-20", "--write-flash"], "Option --write-flash must be used over JTAG"),
    (["arty-z7-20", "--host", "zynq", "--memory", "1"], "Memory must be ADDRESS,BYTES, not '1'"),
    (["arty-z7-20", "--host", "zynq", "--bus", "axi"], "Bus must be the path of a node"),
    (["xc7z035-ffg676"], "Bitstream must be for 7z035ffg676, not for 7z035ifbg676"),
])
def test_wrong_requests(words, message, design, programs, tmp_path, capsys):
    """One line, status 2, and nothing is run or written."""
    if words and words[0] != "arty":
        folder = design(words[0], "7z035ifbg676" if words[0].startswith("xc") else None)
        before = sorted(folder.iterdir())
    assert run(tmp_path, *words) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("\n") == 1
    assert programs() == []
    if words and words[0] != "arty":
        assert sorted(folder.iterdir()) == before


def test_no_design_and_two(design, tmp_path, capsys):
    assert run(tmp_path, "ulx3s") == 2
    assert "has none\n" in capsys.readouterr().err
    folder = design("ulx3s")
    shutil.copytree(folder, folder.with_name("other"))
    assert run(tmp_path, "ulx3s") == 2
    assert f"has other, {NAME}\n" in capsys.readouterr().err


def test_missing_program(design, programs, tmp_path, monkeypatch, capsys):
    """It is named before anything is done."""
    folder = design("arty-z7-20")
    before = sorted(folder.iterdir())
    monkeypatch.setenv("SCP", "/no/scp")
    assert run(tmp_path, "arty-z7-20", "--host", "zynq") == 1
    assert capsys.readouterr().err == "error: Program '/no/scp', which SCP names, is not there\n"
    assert programs() == [] and sorted(folder.iterdir()) == before


def test_openocd_reads_the_device(tmp_path):
    """With an adapter of no hardware."""
    if shutil.which("openocd") is None:
        pytest.skip("openocd is not installed: apt-get install openocd")
    path = tmp_path / "jtag.cfg"
    path.write_text(flash.OPENOCD.format(title="a board", idcode=0x03732093))
    done = subprocess.run(["openocd", "-c", "adapter driver dummy", "-f", str(path), "-c",
                           "echo [jtag names]; shutdown"], capture_output=True, text=True)
    assert done.returncode == 0 and "zynq_pl.bs zynq.cpu" in done.stderr, done.stderr


def test_help(capsys):
    assert flash.main(["--help"]) == 0
    assert "--dry-run" in capsys.readouterr().out
