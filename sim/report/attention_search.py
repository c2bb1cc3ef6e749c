"""What a greedy search's sorted queue costs beside a tree of comparisons, as a Markdown table."""

from rtl.attention.greedy.sorted_queue import SortedQueue
from rtl.emit import synthesis, verilog

from ..testing.compare_tree import CompareTree
from .tools import table

__all__ = ["TABLES"]


def search() -> str:
    """Return the area and delay of both, for 64 columns of products of 15 bits."""
    rows = []
    for name, kind in (("sorted queue", SortedQueue), ("tree of comparisons", CompareTree)):
        figures = synthesis.measure(verilog.of_components({"top": kind(64, 15, 6)}), "top")
        rows.append((name, figures.lut, figures.ff, f"{figures.delay_ps / 1000:.2f}"))
    return table(("largest of 64, replaced in every cycle", "LUT", "FF", "logic delay, ns"), rows)


TABLES = {"attention-search": search}
