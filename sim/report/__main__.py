"""Measured tables of the documentation: ``python -m sim.report [FILE ...] [--check]``.

A table stands in a Markdown file between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``, and is
made anew by the function of that name here; with ``--only`` some of them are. With ``--check``
nothing is written, and a table that is not what the tools give today is an error.
``docs/accuracy.md`` and ``docs/boards.md`` need more (:mod:`.accuracy`, :mod:`.boards`), and are
made anew only if they are named.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import sys
from collections.abc import Callable, Sequence

from rtl.progress import Progress

from .accuracy import TABLES as ACCURACY_TABLES
from .attention import TABLES as ATTENTION_TABLES
from .attention_buy import TABLES as BUY_TABLES
from .attention_cost import TABLES as COST_TABLES
from .attention_expected import TABLES as EXPECTED_TABLES
from .attention_lanes import TABLES as LANES_TABLES
from .attention_online import TABLES as ONLINE_TABLES
from .attention_packed import TABLES as PACKED_TABLES
from .attention_search import TABLES as SEARCH_TABLES
from .boards import TABLES as BOARDS_TABLES
from .e2 import TABLES as E2_TABLES
from .layernorm import TABLES as LAYERNORM_TABLES
from .softmax_family import family, row_parameters
from .svd import TABLES as SVD_TABLES
from .svd_engine import TABLES as SVD_ENGINE_TABLES

__all__ = ["FILES", "NAMED_FILES", "TABLES", "main", "update"]

FILES = ("README.md", "docs/softmax_e2.md", "docs/softmax_family.md", "docs/attention.md",
         "docs/layernorm.md", "docs/svd_softmax.md")
#: Pages that need extras and take hours, or a placer and router: made only if they are named.
NAMED_FILES = ("docs/accuracy.md", "docs/boards.md")

TABLES = {**E2_TABLES, "softmax-family": family, "softmax-row-parameters": row_parameters,
          **LAYERNORM_TABLES, **ATTENTION_TABLES, **EXPECTED_TABLES, **SEARCH_TABLES,
          **ONLINE_TABLES, **LANES_TABLES, **BUY_TABLES, **PACKED_TABLES, **COST_TABLES,
          **ACCURACY_TABLES, **SVD_TABLES, **SVD_ENGINE_TABLES, **BOARDS_TABLES}


# Files -------------------------------------------------------------------------------------------

def update(text: str, made: dict[str, str], told: Callable[[], object] = lambda: None,
           only: Sequence[str] = ()) -> str:
    """Return a text with the tables between its markers made anew; ``made`` keeps them by name.

    ``told`` is called after each table. ``only`` names the tables that are made; empty for all.

    Raises
    ------
    ValueError
        If a marker names no table.
    """
    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name not in TABLES:
            raise ValueError(f"Table must be one of {', '.join(TABLES)}, not {name!r}")
        if only and name not in only:
            return match[0]
        if name not in made:
            made[name] = TABLES[name]()
            told()
        return f"<!-- begin {name} -->\n{made[name]}\n<!-- end {name} -->"
    return re.sub(r"<!-- begin ([\w-]+) -->\n.*?<!-- end \1 -->", replace, text, flags=re.DOTALL)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m sim.report",
                                     description=__doc__.split("\n")[0])
    parser.add_argument("file", nargs="*", metavar="FILE", help="Markdown files (default: "
                        + ", ".join(FILES) + ")")
    parser.add_argument("--only", nargs="+", default=(), choices=sorted(TABLES), metavar="TABLE",
                        help="make these tables only")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    args = parser.parse_args(argv)
    with Progress("making tables", unit="tables") as progress:
        return _update_all(args.file or FILES, args.check, args.only, progress)


def _update_all(names: Sequence[str], check: bool, only: Sequence[str],
                progress: Progress) -> int:
    made, stale = {}, []
    for name in names:
        path = pathlib.Path(name)
        try:
            before = path.read_text(encoding="utf-8")
            after = update(before, made, progress.advance, only)
            if check and after != before:
                stale.append(name)
            elif after != before:
                # Tables may have taken an hour, and others have written to the page meanwhile.
                now = path.read_text(encoding="utf-8")
                path.write_text(update(now, made, only=only), encoding="utf-8")
        except OSError as error:
            print(f"error: File {name!r} can not be read or written: {error.strerror}",
                  file=sys.stderr)
            return 1
        except ValueError as error:
            print(f"error: {name}: {error}", file=sys.stderr)
            return 1
    missing = [name for name in only if name not in made]
    if missing:
        print(f"error: --only must be a table of {', '.join(names)}, not {missing[0]}",
              file=sys.stderr)
        return 1
    if stale:
        print(f"error: tables are not up to date in {', '.join(stale)}; run python -m sim.report",
              file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
