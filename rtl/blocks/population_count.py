"""Population count: the number of bits that are set."""

from amaranth import Signal

from .lookup import lookup

__all__ = ["population_count"]

# Inputs of a LUT.
GROUP = 6


def population_count(m, bits, name):
    """Number of set bits in the list ``bits``, as a Value (0 for no bits). Combinational.

    Counts groups of up to six bits by tables, one LUT per bit of the count, and adds the counts
    pairwise. ``name`` prefixes the names of the signals.
    """
    groups = -(-len(bits) // GROUP)
    counts = []
    for k in range(groups):
        group = Signal(len(bits[k::groups]), name=f"{name}_group_{k}")
        m.d.comb += [group[n].eq(bit) for n, bit in enumerate(bits[k::groups])]
        counts.append(lookup(m, group, [value.bit_count() for value in range(1 << len(group))],
                             name=f"{name}_count_{k}"))
    while len(counts) > 1:
        pairs = [counts[k:k + 2] for k in range(0, len(counts), 2)]
        counts = [pair[0] + pair[1] if len(pair) == 2 else pair[0] for pair in pairs]
    return counts[0] if counts else 0
