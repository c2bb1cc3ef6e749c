"""An openXC7 project of a Zynq-7000 top: Yosys, nextpnr-xilinx and Project X-Ray."""

from __future__ import annotations

from collections.abc import Sequence

from ..board import ZynqBoard

__all__ = ["script", "synthesis"]


def synthesis(sources: Sequence[str], top: str) -> str:
    """Text of the Yosys script, which writes ``top.json``.

    Without DSP blocks: nextpnr-xilinx leaves constant configuration bits of inferred ones unset,
    and products come out wrong.
    """
    return "".join([*(f"read_verilog {name}\n" for name in sources),
                    f"synth_xilinx -family xc7 -flatten -nodsp -top {top}\n",
                    "write_json top.json\n"])


def script(board: ZynqBoard) -> str:
    """Text of the shell script, which writes ``top.bit`` beside itself."""
    return f"""\
#!/bin/sh
# Builds the bitstream for {board.title}, with openXC7.
#
# CHIPDB: chip database of the part for nextpnr-xilinx; PRJXRAY_DB: Project X-Ray's database.
# The commands are checked by programs that record them; openXC7 itself has not run them.
set -eu
cd "$(dirname "$0")"
: "${{YOSYS:=yosys}}" "${{NEXTPNR_XILINX:=nextpnr-xilinx}}"
: "${{FASM2FRAMES:=fasm2frames}}" "${{XC7FRAMES2BIT:=xc7frames2bit}}"
: "${{CHIPDB:?names the chip database of {board.part}}}"
: "${{PRJXRAY_DB:?names the folder of the Project X-Ray database}}"
database="$PRJXRAY_DB/zynq7"

"$YOSYS" -q -l top.rpt openxc7.ys
"$NEXTPNR_XILINX" --chipdb "$CHIPDB" --xdc top.xdc --json top.json --fasm top.fasm --log top.tim
"$FASM2FRAMES" --part {board.part} --db-root "$database" top.fasm > top.frames
"$XC7FRAMES2BIT" --part_file "$database/{board.part}/part.yaml" --part_name {board.part} \\
    --frm_file top.frames --output_file top.bit
"""
