"""The openXC7 project: the shell script with programs that record their words."""

import os
import subprocess

from boards.catalog import board
from boards.vivado import openxc7

BOARD = board("arty-z7-20")
PART = "xc7z020clg400-1"


def run(folder, **variables):
    (folder / "openxc7.sh").write_text(openxc7.script(BOARD))
    for name in "yosys", "nextpnr-xilinx", "fasm2frames", "xc7frames2bit":
        path = folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\necho {name} "$@" >> "{folder}/calls"\n')
        path.chmod(0o755)
    environment = {"PATH": f"{folder}/bin:{os.environ['PATH']}", **variables}
    # From another folder: the files are beside the script.
    return subprocess.run(["sh", str(folder / "openxc7.sh")], cwd=folder.parent,
                          env=environment, capture_output=True, text=True)


def test_commands(tmp_path):
    done = run(tmp_path, CHIPDB="chip.bin", PRJXRAY_DB="/db")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "calls").read_text().splitlines() == [
        "yosys -q -l top.rpt openxc7.ys",
        "nextpnr-xilinx --chipdb chip.bin --xdc top.xdc --json top.json --fasm top.fasm "
        "--log top.tim",
        f"fasm2frames --part {PART} --db-root /db/zynq7 top.fasm",
        f"xc7frames2bit --part_file /db/zynq7/{PART}/part.yaml --part_name {PART} "
        "--frm_file top.frames --output_file top.bit"]
    assert (tmp_path / "top.frames").exists()


def test_missing_database(tmp_path):
    done = run(tmp_path, PRJXRAY_DB="/db")
    assert done.returncode and f"names the chip database of {PART}" in done.stderr
    assert not (tmp_path / "calls").exists()
