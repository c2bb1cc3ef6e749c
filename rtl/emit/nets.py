"""Amaranth's netlists without what takes half of their time: the checks of every bit.

Amaranth holds a value as a tuple of one-bit nets, and checks the type of each whenever values are
made, cut or joined. It looks for combinational cycles bit by bit, through every bit of an
operator's operands. Here values are taken as they come, and cycles are looked for among cells;
only cells on such a cycle are looked at bit by bit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import amaranth
from amaranth.back import rtlil
from amaranth.hdl import _nir

__all__ = ["RELEASES", "quick_nets"]

_Net, _Value = _nir.Net, _nir.Value
_CONSTANTS = _Net(0), _Net(1)

# Cells without combinational paths from their inputs to their outputs.
_SEQUENTIAL = (_nir.Top, _nir.Memory, _nir.SyncReadPort, _nir.SyncWritePort, _nir.Instance)


# Values -----------------------------------------------------------------------------------------

def _new(cls, nets=()):
    return tuple.__new__(cls, (nets,) if isinstance(nets, _Net) else nets)


def _item(self, index):
    item = tuple.__getitem__(self, index)
    return tuple.__new__(_Value, item) if isinstance(index, slice) else item


def _from_const(cls, value, width):
    return tuple.__new__(cls, [_CONSTANTS[value >> bit & 1] for bit in range(width)])


def _from_cell(cls, cell, bit):
    return int.__new__(cls, cell << 16 | bit)


def _resolve_value(self, value):
    if not value or min(value) >= 0:
        return value
    nets, connections = [], self.connections
    for net in value:
        while net < 0:
            net = connections[net]
        nets.append(net)
    return tuple.__new__(_Value, nets)


def _sigspec(self, *parts):
    value = []
    for part in parts:
        value += (part,) if isinstance(part, _Net) else part
    chunks, begin, length = [], 0, len(value)
    while begin < length:
        end = begin + 1
        if 0 <= value[begin] <= 1:
            while end < length and 0 <= value[end] <= 1:
                end += 1
            bits = "".join(["1" if net else "0" for net in reversed(value[begin:end])])
            chunks.append(f"{end - begin}'{bits}")
        else:
            wire, start = self.nets[value[begin]]
            bit = start + 1
            while end < length and not 0 <= value[end] <= 1 and \
                    self.nets[value[end]] == (wire, bit):
                end, bit = end + 1, bit + 1
            place = start if bit == start + 1 else f"{bit - 1}:{start}"
            chunks.append(f"{wire.name} [{place}]")
        begin = end
    return chunks[0] if len(chunks) == 1 else "{ " + " ".join(reversed(chunks)) + " }"


# Combinational cycles ---------------------------------------------------------------------------

_check_bits = _nir.Netlist.check_comb_cycles


def _check_cells(self):
    """Amaranth's check, which finds where a cycle is, only if there is one."""
    drivers = _drivers(self.connections)
    if drivers is None or _has_cycle(self.cells, _unordered(self.cells, drivers), drivers):
        _check_bits(self)


def _drivers(connections: dict) -> dict | None:
    """Driver of each connected net; None if nets drive each other."""
    drivers = {}
    for net in connections:
        chain = []
        while net < 0 and net not in drivers:
            chain.append(net)
            if len(chain) > len(connections):
                return None
            net = connections[net]
        drivers |= dict.fromkeys(chain, drivers.get(net, net))
    return drivers


def _unordered(cells: list, drivers: dict) -> Iterable[int]:
    """Indices of the cells on cycles, and of those that these drive."""
    users, missing = [[] for _ in cells], []
    for index, cell in enumerate(cells):
        nets = ((cell.clk, cell.arst) if isinstance(cell, _nir.FlipFlop) else
                () if isinstance(cell, _SEQUENTIAL) else cell.input_nets())
        # Constants are of the cell 0, the ports.
        sources = {drivers.get(net, net) >> 16 for net in nets} - {0}
        missing.append(len(sources))
        for source in sources:
            users[source].append(index)
    ready = [index for index, count in enumerate(missing) if not count]
    while ready:
        for user in users[ready.pop()]:
            missing[user] -= 1
            if not missing[user]:
                ready.append(user)
    return [index for index, count in enumerate(missing) if count]


def _has_cycle(cells: list, among: Iterable[int], drivers: dict) -> bool:
    """Whether some of the cells have a cycle through their bits."""
    wanted = set(among)
    seen, open_ = set(), set()
    for index in wanted:
        for start in cells[index].output_nets(index):
            stack = [(start, iter((start,)))]
            while stack:
                net, edges = stack[-1]
                for source in edges:
                    source = drivers.get(source, source)
                    if source in open_:
                        return True
                    if source not in seen and source >> 16 in wanted:
                        seen.add(source)
                        open_.add(source)
                        cell = cells[source >> 16]
                        stack.append((source, iter([edge for edge, _ in
                                                    cell.comb_edges_to(source & 0xffff)])))
                        break
                else:
                    stack.pop()
                    open_.discard(net)
    return False


# Exchange ---------------------------------------------------------------------------------------

_QUICK = [(_Value, "__new__", staticmethod(_new)), (_Value, "__getitem__", _item),
          (_Value, "from_const", classmethod(_from_const)),
          (_Net, "from_cell", classmethod(_from_cell)),
          (_nir.Netlist, "resolve_value", _resolve_value),
          (_nir.Netlist, "check_comb_cycles", _check_cells),
          (rtlil.ModuleEmitter, "sigspec", _sigspec)]
_SLOW = [(cls, name, vars(cls).get(name)) for cls, name, _ in _QUICK]

#: Releases of Amaranth whose insides these are; others are left as they are.
RELEASES = frozenset({"0.5.10"})


@contextlib.contextmanager
def quick_nets() -> Iterator[None]:
    """Netlists that Amaranth makes meanwhile are the same, a fifth of an emission sooner."""
    if amaranth.__version__ not in RELEASES:
        yield
        return
    try:
        for cls, name, method in _QUICK:
            setattr(cls, name, method)
        yield
    finally:
        for cls, name, method in _SLOW:
            setattr(cls, name, method)
