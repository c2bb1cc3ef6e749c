"""Command line that brings a built design onto a board: ``python -m boards.flash BOARD [...]``.

Over JTAG, through Linux on a Zynq, or as a boot image. ``--dry-run`` prints every step.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import sys
from collections.abc import Iterator, Sequence

from rtl.config import ConfigError
from rtl.options import ArgumentParser

from .board import Board, ZynqBoard
from .catalog import BOARDS, board
from .command import guarded
from .linux import boot_image, device_tree
from .linux.bitstream import Bitstream, firmware
from .steps import Note, Run, Step, Write, perform

__all__ = ["main", "steps"]

WAYS = ("jtag", "linux", "boot")

#: Linux's interface to the logic, on kernels of AMD.
MANAGER = "/sys/class/fpga_manager/fpga0"
#: Where Linux looks for images.
FIRMWARE = "/lib/firmware"

# A JTAG chain with one Zynq: its logic, and its processors behind it.
OPENOCD = """\
# The logic of {title}, for OpenOCD.
adapter speed 10000
jtag newtap zynq_pl bs -irlen 6 -ircapture 0x1 -irmask 0x03 -ignore-version -expected-id {idcode:#x}
jtag newtap zynq cpu -irlen 4 -ircapture 0x1 -irmask 0xf -expected-id 0x4ba00477
pld device virtex2 zynq_pl.bs 1
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status, of :func:`~boards.command.guarded`."""
    return guarded(_run, argv)


def _run(argv: list[str]) -> None:
    parser = _parser()
    if {"-h", "--help"} & {*argv}:
        parser.print_help()
        return
    args = parser.parse_args(argv)
    if args.board is None:
        raise ConfigError(f"Board must be one of {', '.join(BOARDS)}")
    chosen = board(args.board)
    folder = args.folder or _only(args.out / chosen.name)
    if not args.dry_run and not (folder / "top.bit").is_file():
        raise ConfigError(f"Bitstream {str(folder / 'top.bit')!r} is not there: python -m "
                          f"boards.build {chosen.name} UNIT makes it")
    if not args.dry_run and isinstance(chosen, ZynqBoard):
        _bitstream(chosen, folder)
    perform(steps(chosen, folder, args), dry=args.dry_run)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="python -m boards.flash", allow_abbrev=False,
        description="Bring a design that boards.build made onto a board.")
    parser.add_argument("board", nargs="?", metavar="BOARD", help=", ".join(BOARDS))
    parser.add_argument("folder", nargs="?", metavar="FOLDER", type=pathlib.Path,
                        help="folder of the design (default: the only one in OUT/BOARD)")
    parser.add_argument("--way", choices=WAYS, help="jtag (default without a host), linux (default "
                        "with one), or boot: the image BOOT.BIN for a card")
    parser.add_argument("--dry-run", action="store_true", help="print every step, and do none")
    parser.add_argument("--write-flash", action="store_true",
                        help="jtag, of a board without a processor: keep it in the board's flash")
    parser.add_argument("--host", metavar="USER@HOST", help="linux: where to log in")
    parser.add_argument("--base", metavar="DTB", type=pathlib.Path,
                        help="linux: the board's device tree, which the unit is added to")
    parser.add_argument("--bus", metavar="NODE", default="/axi",
                        help="linux: node of the tree that has the devices (default /axi)")
    parser.add_argument("--memory", metavar="ADDRESS,BYTES", default=None,
                        help="linux: memory for DMA (default "
                             f"{device_tree.Memory().address:#x},{device_tree.Memory().size:#x})")
    parser.add_argument("--adapter", metavar="FILE",
                        help="jtag with OpenOCD: configuration of the adapter")
    parser.add_argument("--loader", metavar="ELF", help="boot: first-stage boot loader")
    parser.add_argument("--program", metavar="ELF", action="append", default=[],
                        help="boot: what follows the bitstream, U-Boot as a rule; may be repeated")
    parser.add_argument("--out", metavar="DIR", default="build", type=pathlib.Path,
                        help="folder that boards.build wrote to (default build)")
    return parser


def _only(folder: pathlib.Path) -> pathlib.Path:
    """The only design in a folder."""
    found = sorted(path.parent for path in folder.glob("*/manifest.json"))
    if len(found) != 1:
        raise ConfigError(f"Folder of the design must be given: {str(folder)!r} has "
                          f"{', '.join(path.name for path in found) or 'none'}")
    return found[0]


def steps(chosen: Board, folder: pathlib.Path, args: argparse.Namespace) -> Iterator[Step]:
    """Yield the steps that arguments ask for.

    Raises
    ------
    ConfigError
        If an argument is missing, or the board has no such way.
    """
    zynq = isinstance(chosen, ZynqBoard)
    way = args.way or ("linux" if args.host else "jtag")
    if way != "jtag" and not zynq:
        raise ConfigError(f"Way must be jtag for {chosen.name}, which has no processor, not {way}")
    if args.write_flash and (zynq or way != "jtag"):
        raise ConfigError(f"Option --write-flash must be used over JTAG with a board whose flash "
                          f"configures the logic, not with {chosen.name}")
    if way == "jtag":
        yield from _jtag(chosen, folder, args)
    elif way == "linux":
        yield from _linux(chosen, folder, args)
    else:
        yield from _boot(chosen, folder, args)


def _jtag(chosen: Board, folder: pathlib.Path, args: argparse.Namespace) -> Iterator[Step]:
    image = folder / "top.bit"
    if chosen.loader:
        where = ("-f",) if args.write_flash else ()
        yield Run("openFPGALoader", (*chosen.loader, *where, str(image)),
                  "write the flash" if args.write_flash else "load the logic, until power is off")
    else:
        # openFPGALoader 1.1 does not list the device.
        script = folder / "jtag.cfg"
        yield Write(script, lambda: OPENOCD.format(title=chosen.title, idcode=chosen.idcode),
                    "the device for OpenOCD")
        adapter = args.adapter or chosen.adapter
        yield Run("openocd", ("-f", adapter, "-f", str(script), "-c",
                              f"init; pld load 0 {{{image}}}; shutdown"),
                  "load the logic, until power is off")
    if isinstance(chosen, ZynqBoard):
        yield Note("the logic has a clock once a boot loader has run on the processor")


def _linux(chosen: ZynqBoard, folder: pathlib.Path, args: argparse.Namespace) -> Iterator[Step]:
    if args.host is None:
        raise ConfigError("Option --host must be given with --way linux, such as root@zynq")
    if args.host.startswith("-"):
        raise ConfigError(f"Option --host must be USER@HOST, not {args.host!r}")
    name = _name(folder)
    image, memory = folder / f"{name}.bit.bin", _memory(args.memory)
    source, compiled = folder / "overlay.dts", folder / "overlay.dtbo"
    text = device_tree.overlay(name, memory, args.bus)
    yield Write(image, lambda: firmware(_bitstream(chosen, folder)),
                "the bitstream as Linux takes it")
    yield Write(source, lambda: text, "registers, interrupt and memory of the unit")
    yield Run("dtc", (*device_tree.COMPILE, "-o", str(compiled), str(source)),
              "compile the overlay")
    if args.base is not None:
        merged = folder / "system.dtb"
        yield Run("fdtoverlay", ("-i", str(args.base), "-o", str(merged), str(compiled)),
                  "add the unit to the board's device tree")
        yield Run("scp", (str(merged), f"{args.host}:system.dtb"), "copy the device tree")
        yield Note(f"on {args.host}: put ~/system.dtb where the boot loader takes the device "
                   "tree from, add uio_pdrv_genirq.of_id=generic-uio to the arguments of Linux, "
                   "and restart it, once")
    yield Run("scp", (str(image), f"{args.host}:{FIRMWARE}/{image.name}"), "copy the image")
    yield Run("ssh", (args.host, _load(image.name)), "load the logic, and check that it works")


def _boot(chosen: ZynqBoard, folder: pathlib.Path, args: argparse.Namespace) -> Iterator[Step]:
    if args.loader is None:
        raise ConfigError("Option --loader must be given with --way boot: the first-stage boot "
                          "loader of the board, an ELF file")
    text = boot_image.description(args.loader, str(folder / "top.bit"), args.program)
    yield Write(folder / "boot.bif", lambda: text, "what the boot image holds")
    yield Run("bootgen", ("-image", str(folder / "boot.bif"), "-arch", "zynq", "-w", "-o",
                          str(folder / "BOOT.BIN")), "make the boot image")
    yield Note(f"copy {folder / 'BOOT.BIN'} onto the first partition of the board's card, and "
               "restart the board")


def _load(image: str) -> str:
    """Shell commands that load an image from Linux's folder of firmware."""
    return "; ".join([
        "set -e", f"cd {MANAGER}",
        "[ -e firmware ] || { echo 'this Linux takes no image by name: use a kernel of AMD, or an "
        "fpga-region in the device tree' >&2; exit 1; }",
        "echo 0 > flags", f"echo {image} > firmware", "state=$(cat state)",
        "echo \"state: $state\"", "[ \"$state\" = operating ]"])


def _name(folder: pathlib.Path) -> str:
    """Name of the configuration in a folder."""
    try:
        name = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["name"]
    except FileNotFoundError:
        raise ConfigError(f"Folder {str(folder)!r} must be one that boards.build wrote: it has no "
                          "manifest.json") from None
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"File {str(folder / 'manifest.json')!r} must be a manifest") from None
    if not re.fullmatch(r"\w+", str(name)):
        raise ConfigError(f"Name in {str(folder / 'manifest.json')!r} must be an identifier, "
                          f"not {name!r}")
    return name


def _bitstream(chosen: ZynqBoard, folder: pathlib.Path) -> Bitstream:
    """Bitstream in a folder, which must be for the board."""
    bitstream = Bitstream.parse((folder / "top.bit").read_bytes())
    bitstream.check_part(chosen.part)
    return bitstream


def _memory(text: str | None) -> device_tree.Memory:
    if text is None:
        return device_tree.Memory()
    try:
        address, size = (int(word, 0) for word in text.split(","))
    except ValueError:
        raise ConfigError(f"Memory must be ADDRESS,BYTES, not {text!r}") from None
    return device_tree.Memory(address, size)


if __name__ == "__main__":
    sys.exit(main())
