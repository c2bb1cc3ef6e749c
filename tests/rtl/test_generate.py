"""The command line: what it writes, and the one line that it says of each mistake."""

import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys

import pytest

from rtl import UnitConfig, generate
from rtl.emit import verilog, yosys
from rtl.parameter import Flag, Integer, parameter
from sim.testing.passthrough import PassthroughConfig, iverilog, only_units

ROOT = pathlib.Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True, kw_only=True)
class OtherConfig(PassthroughConfig):
    """Configuration of another unit."""

    UNIT = "pass-other"
    PRESETS = {"plain": {}, "deep": {"depth": 7}}

    bits: int = parameter(6, Integer(2, 10), tag="b", help="width of an element")
    depth: int = parameter(4, Integer(1, 9), tag="e", help="means nothing")
    fast: bool = parameter(False, Flag(), tag="f", help="means nothing")


@pytest.fixture(autouse=True)
def units():
    with only_units(PassthroughConfig, OtherConfig):
        yield


@pytest.fixture
def run(capsys, tmp_path):
    """Runs a command line that writes to ``tmp_path / "out"``; status, standard output, error."""
    def run(*argv):
        status = generate.main([*map(str, argv), "--out", str(tmp_path / "out")])
        return (status, *capsys.readouterr())
    return run


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def folders(path):
    return sorted(entry.name for entry in path.iterdir())


def files_of(config):
    """Names of the files of a unit."""
    return {"config.json", "manifest.json",
            *(f"{config.name}{end}" for end in (".v", ".f", ".core", "_ip.tcl"))}


# What it writes ---------------------------------------------------------------------------------

def test_one_unit(run, out, tmp_path):
    config = PassthroughConfig(bits=5)
    status, printed, error = run("passthrough", "--bits", 5)
    assert (status, error) == (0, "")
    assert folders(out) == [config.name]
    assert folders(out / config.name) == sorted(files_of(config))
    text = (out / config.name / f"{config.name}.v").read_text()
    assert text == verilog.of_unit(config)
    files = json.loads((out / config.name / "manifest.json").read_text())["files"]
    assert files == {name: {"sha256": hashlib.sha256((out / config.name / name).read_bytes())
                            .hexdigest()} for name in files_of(config) - {"manifest.json"}}
    iverilog(text, tmp_path)
    assert UnitConfig.load(out / config.name / "config.json") == config
    lines = printed.splitlines()
    # Latency at the AXI ports.
    assert [re.split("  +", line) for line in lines[:-1]] == [
        ["module", "preset", "latency", "output scale", "mean error"],
        [config.name, "plain", "2", "-", "-"]]
    assert lines[-1].startswith(f"1 unit written to {out}/ in ")


def test_all_units(run, out):
    status, printed, _ = run("--lanes", 3)
    assert status == 0
    assert folders(out) == sorted([PassthroughConfig(lanes=3).name, OtherConfig(lanes=3).name])
    assert "2 units written" in printed


def test_option_reaches_the_units_that_have_it(run, out):
    assert run("--depth", 5)[0] == 0
    assert folders(out) == sorted([PassthroughConfig().name, OtherConfig(depth=5).name])


def test_units_between_options(run, out):
    assert run("--bits", 5, "passthrough", "--lanes", 1, "pass-other")[0] == 0
    assert folders(out) == sorted([PassthroughConfig(bits=5, lanes=1).name,
                                   OtherConfig(bits=5, lanes=1).name])


def test_unit_that_does_not_take_a_value(run, out):
    """It is left out and named, if it was not asked for by name."""
    status, printed, error = run("--bits", 12)
    assert (status, error) == (
        0, "pass-other is left out: Parameter bits must be an integer in 2..10, not 12\n")
    assert folders(out) == [PassthroughConfig(bits=12).name]
    assert "1 unit written" in printed


def test_unit_named_twice(run):
    assert "1 unit written" in run("passthrough", "passthrough")[1]


def test_preset(run, out):
    assert run("passthrough", "--preset", "wide", "--bits", 4)[0] == 0
    assert folders(out) == [PassthroughConfig.preset("wide", bits=4).name]


def test_preset_of_one_of_all(run, out):
    assert run("--preset", "wide")[0] == 0
    assert folders(out) == sorted([PassthroughConfig.preset("wide").name, OtherConfig().name])


def test_flag(run):
    assert "fast = true\n" in run("pass-other", "--fast", "true", "--print-config")[1]


@pytest.mark.parametrize("suffix, text", [
    (".toml", 'unit = "passthrough"\nbits = 7\nlanes = 3\n'),
    (".json", '{"unit": "passthrough", "bits": 7, "lanes": 3}')])
def test_config_file_and_override(run, out, tmp_path, suffix, text):
    path = tmp_path / f"my{suffix}"
    path.write_text(text)
    assert run("--config", path, "--lanes", 4)[0] == 0
    assert folders(out) == [PassthroughConfig(bits=7, lanes=4).name]


def test_config_file_with_a_preset(run, out, tmp_path):
    path = tmp_path / "my.toml"
    path.write_text('unit = "passthrough"\npreset = "wide"\n')
    assert run("passthrough", "--config", path)[0] == 0
    assert folders(out) == [PassthroughConfig.preset("wide").name]


def test_control(run, out, tmp_path):
    """Registers of every unit, in files beside those that are there without them."""
    config = PassthroughConfig(bits=5)
    run("passthrough", "--bits", 5)
    before = (out / config.name / f"{config.name}.v").read_bytes()
    status, printed, error = run("passthrough", "--bits", 5, "--control", "axi-lite")
    assert (status, error) == (0, "")
    folder = out / config.name
    assert f"{config.name}_axil.v" in folders(folder)
    assert (folder / f"{config.name}.v").read_bytes() == before
    iverilog(before.decode() + (folder / f"{config.name}_axil.v").read_text(), tmp_path)
    assert run("passthrough", "--control", "axi")[::2] == (
        2, "error: Argument --control: invalid choice: 'axi' (choose from 'none', 'axi-lite', "
           "'axi-dma')\n")


@pytest.mark.slow
def test_synthesised_with_registers(run):
    """The shell with the registers is measured, not the one inside, which has 65 flip-flops."""
    printed = run("passthrough", "--synth", "--control", "axi-lite")[1]
    # Two counters of 32 bits a stream, and data of a write and of a read.
    assert int(re.split("  +", printed.splitlines()[1])[6]) > 6 * 32


def test_written_again(run, out):
    """A second run replaces its own files and leaves what else is in the folder."""
    run("passthrough")
    folder = out / PassthroughConfig().name
    (folder / "notes.txt").write_text("mine")
    (folder / "config.json").write_text("old")
    run("passthrough")
    assert folders(folder) == sorted(files_of(PassthroughConfig()) | {"notes.txt"})
    assert (folder / "notes.txt").read_text() == "mine"
    assert UnitConfig.load(folder / "config.json") == PassthroughConfig()


def test_files_are_readable_by_all(run, out):
    run("passthrough")
    umask = os.umask(0)
    os.umask(umask)
    folder = out / PassthroughConfig().name
    assert stat.S_IMODE(folder.stat().st_mode) == 0o777 & ~umask
    assert stat.S_IMODE((folder / "config.json").stat().st_mode) == 0o666 & ~umask


def test_nothing_half_written(run, out, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device", "here")
    monkeypatch.setattr(os, "rename", fail)
    assert run("passthrough")[::2] == (
        1, "error: File 'here' can not be written: No space left on device\n")
    assert folders(out) == []


@pytest.mark.slow
def test_synth(run):
    status, printed, _ = run("passthrough", "--synth", "--bits", 4)
    header, row = (re.split("  +", line) for line in printed.splitlines()[:2])
    assert status == 0
    assert header[5:] == ["LUT", "FF", "CARRY4", "MUXF", "DSP", "BRAM", "ps"]
    # The core: two elements, two bits of keep, last, valid; beats and error. Its shell: two
    # beats of the output slice and what is valid of them; the reset.
    assert row[6] == str(8 + 2 + 1 + 1 + 3 + 1 + 2 * (8 + 2 + 1) + 2 + 1)


# What it prints ---------------------------------------------------------------------------------

def test_list(run, out):
    assert run("--list") == (0, (
        "unit         presets      what\n"
        "passthrough  plain, wide  Configuration of a unit that passes rows on unchanged.\n"
        "pass-other   plain, deep  Configuration of another unit.\n"), "")
    assert not out.exists()


@pytest.mark.parametrize("argv", [["--print-config"], ["--print-config", "toml"]])
def test_print_toml(run, out, argv):
    config = PassthroughConfig(bits=5)
    assert run(*argv, "passthrough", "--bits", 5) == (0, config.to_toml(), "")
    assert not out.exists()


def test_print_json(run):
    status, printed, _ = run("passthrough", "--print-config", "json")
    assert (status, json.loads(printed)) == (0, PassthroughConfig().to_dict())


def test_help_tells_parameters_by_unit(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert generate.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert "parameters of passthrough, pass-other:\n" in text
    assert "parameters of pass-other:\n  --depth VALUE" in text
    assert "width of an element, 100 % of it (an integer in 2..32; default depends on unit)" in text
    assert "elements per beat (an integer in 1..64; default 2)" in text


def test_help_of_a_unit(capsys, monkeypatch):
    """Its parameters only, with its own defaults; the value of an option is no unit."""
    monkeypatch.setenv("COLUMNS", "200")
    assert generate.main(["--preset", "pass-other", "passthrough", "--help"]) == 0
    text = capsys.readouterr().out
    assert "parameters of passthrough:\n  --bits VALUE" in text
    assert "--depth" not in text and "pass-other:" not in text
    assert "(an integer in 2..32; default 8)" in text
    assert "presets of passthrough: plain, wide" in text


# What it says no to -----------------------------------------------------------------------------

@pytest.mark.parametrize("argv, message", [
    (["passthru"], "Unit 'passthru' does not exist; did you mean 'passthrough'?"),
    (["--bots", "5"], "Option '--bots' does not exist; did you mean '--bits'?"),
    (["--bots=5"], "Option '--bots' does not exist; did you mean '--bits'?"),
    (["--xyzzy"], "Option '--xyzzy' does not exist"),
    (["--bits"], "Argument --bits: expected one argument"),
    (["passthrough", "--bits", "33"], "Parameter bits must be an integer in 2..32, not 33"),
    (["pass-other", "--bits", "11"], "Parameter bits must be an integer in 2..10, not 11"),
    (["--bits", "eight"], "Parameter bits must be an integer in 2..32, not 'eight'"),
    (["--bits", "8.0"], "Parameter bits must be an integer in 2..32, not '8.0'"),
    (["--side", "top"], "Parameter side must be one of left, right, not 'top'"),
    (["--fast", "yes"], "Parameter fast must be true or false, not 'yes'"),
    (["passthrough", "--depth", "3"],
     "Option --depth must be used with pass-other, not with passthrough"),
    (["passthrough", "--preset", "wade"],
     "Preset 'wade' of passthrough does not exist; did you mean 'wide'?"),
    (["--preset", "wade"], "Preset must be one of plain, wide, deep, not 'wade'"),
    (["--print-config"], "Option --print-config must be used with one unit, not with 2"),
    (["--print-config=yaml"],
     "Argument --print-config: invalid choice: 'yaml' (choose from 'toml', 'json')"),
    (["--bits=--"], "Option --bits must have a value, not '--'"),
    (["--out=--"], "Option --out must have a value, not '--'"),
    (["passthrough", "--testbench"],
     "Option --testbench must be a command, as the models make its vectors: python -m "
     "sim.testbench, with the same units and parameters"),
    (["passthrough", "pass-other", "--bits", "11"],
     "Parameter bits must be an integer in 2..10, not 11"),
    (["--config", "missing.toml"],
     "Configuration file 'missing.toml' can not be read: No such file or directory"),
    (["--config", "my.yaml"], "Configuration file 'my.yaml' can not be read: "
                              "No such file or directory"),
])
def test_wrong_request(run, out, argv, message):
    assert run(*argv) == (2, "", f"error: {message}\n")
    assert not out.exists()


@pytest.mark.parametrize("name, text, argv, message", [
    ("a.toml", "bits = 8", [], 'A configuration must name its unit: unit = "softmax-e2"'),
    ("a.toml", 'unit = "passthrough"\nbots = 8', [],
     "Parameter 'bots' of passthrough does not exist; did you mean 'bits'?"),
    ("a.toml", 'unit = "passthrough"\nbits = "8"', [],
     "Parameter bits must be an integer in 2..32, not '8'"),
    ("a.toml", 'unit = "passthrough"', ["--depth", "3"],
     "Option --depth must be used with pass-other, not with passthrough"),
    ("a.toml", 'unit = "passthrough"', ["pass-other"],
     "Unit must be 'passthrough', as {path!r} says, not 'pass-other'"),
    ("a.toml", 'unit = "passthrough"', ["--preset", "wide"],
     "Option --preset must not be given together with --config; write preset = 'wide' into "
     "{path!r}"),
    ("a.toml", 'unit = ["passthrough"]', [],
     "Unit ['passthrough'] does not exist; did you mean 'passthrough'?"),
    ("a.json", '{"unit": 5}', [], "Unit 5 does not exist; known are: passthrough, pass-other"),
    ("a.json", '{"unit": "passthrough", "preset": {"wide": 1}}', [],
     "Preset {{'wide': 1}} of passthrough does not exist; did you mean 'wide'?"),
    ("a.toml", 'unit = "passthrough"\npreset = 1979-05-27', [],
     "Preset datetime.date(1979, 5, 27) of passthrough does not exist; known are: plain, wide"),
    ("a.json", "[" * 100_000, [], "Configuration is not valid JSON: it is nested too deeply"),
    ("a.json", "[1, 2]", [], "A configuration must be a table of parameters, not [1, 2]"),
    ("a.txt", "", [], "Configuration file must end in .toml or .json, not {path!r}"),
])
def test_wrong_file(run, out, tmp_path, name, text, argv, message):
    path = tmp_path / name
    path.write_text(text)
    assert run(*argv, "--config", path) == (2, "", f"error: {message.format(path=str(path))}\n")
    assert not out.exists()


@pytest.mark.parametrize("name, language", [("a.toml", "TOML"), ("a.json", "JSON")])
def test_broken_file(run, tmp_path, name, language):
    (tmp_path / name).write_text("{ = }")
    status, printed, error = run("--config", tmp_path / name)
    assert (status, printed) == (2, "")
    assert error.startswith(f"error: Configuration is not valid {language}: ")
    assert error.count("\n") == 1


def test_full_disk(run, out, monkeypatch):
    """A write that fails has no file name."""
    write = pathlib.Path.write_text

    def fail(path, *arguments, **options):
        if path.is_relative_to(out):
            raise OSError(28, "No space left on device")
        return write(path, *arguments, **options)
    monkeypatch.setattr(pathlib.Path, "write_text", fail)
    folder = out / PassthroughConfig().name
    assert run("passthrough") == (
        1, "", f"error: File {str(folder)!r} can not be written: No space left on device\n")
    assert folders(out) == []


def test_file_in_place_of_a_folder(run, out):
    """In place of the output folder, or of the unit's own in it."""
    own = out / PassthroughConfig().name
    for path in own, out:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
        assert run("passthrough") == (1, "", f"error: File {str(path)!r} can not be written: "
                                             "A file is in place of the folder\n")
        assert path.read_text() == "mine"
        path.unlink()
        shutil.rmtree(out, ignore_errors=True)


def test_unwritable_output(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "out"
    assert generate.main(["passthrough", "--out", str(path)]) == 1
    assert capsys.readouterr() == (
        "", f"error: File {str(path)!r} can not be written: Not a directory\n")


def test_yosys_error(run, monkeypatch):
    def fail(*_):
        raise yosys.YosysError("out of gates")
    monkeypatch.setattr(yosys, "run", fail)
    assert run("passthrough") == (1, "", "error: out of gates\n")


# From outside -----------------------------------------------------------------------------------

def python(*argv):
    return subprocess.run([sys.executable, *argv], cwd=ROOT, capture_output=True, text=True)


def test_nobody_reads_the_list():
    """As with ``--list | head -1``: no message, and the status that a shell gives SIGPIPE."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "rtl.generate", "--list"], cwd=ROOT,
                          stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is full")
def test_list_to_a_full_disk():
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "rtl.generate", "--list"], cwd=ROOT,
                              stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (
        1, "error: Output or a temporary file can not be written: No space left on device\n")


def test_module_is_a_command():
    done = python("-m", "rtl.generate", "--bits", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: Parameter bits must be an integer in 2..16, not 0\n"


def test_import_is_light():
    done = python("-c", "import sys, rtl.generate; print(*({'numpy', 'cocotb', 'rich', 'pyosys'} "
                        "& set(sys.modules)))")
    assert (done.stdout, done.stderr) == ("\n", "")


@pytest.mark.slow
def test_every_unit(tmp_path):
    """The default run over the units that there are."""
    done = python("-m", "rtl.generate", "--bits", "8", "--out", str(tmp_path / "out"))
    assert done.returncode == 0
    # How far it is, on a slow machine.
    assert all(line.startswith("Generating: ") for line in done.stderr.splitlines())
    folders = list((tmp_path / "out").iterdir())
    assert folders
    for folder in folders:
        assert json.loads((folder / "config.json").read_text())["bits"] == 8
        iverilog((folder / f"{folder.name}.v").read_text(), tmp_path)
