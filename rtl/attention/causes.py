"""Causes of errors: what can go wrong with the sets of a configuration, and what keeps it."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Causes", "causes_of", "ports_of"]


def causes_of(config):
    """Return what each bit of the output ``causes`` stands for, by its name, lowest bit first."""
    within = "last came within a vector"
    biases = {} if config.bias == "none" else {
        "BIAS": "a row of biases was of another number of beats than its query's words of keys"}
    if config.store == "resident":
        return {"REFUSED": "an append was beyond the capacity of its set",
                "UNKNOWN": "a command named a set or a head that is not there",
                "LOADS": "last of keys or values was not where the command's count says",
                "QUERIES": "last of queries was not where the command's count says",
                "WITHIN": within, **biases}
    causes = {"LONG": f"a set had more than {config.max_keys} keys or values", "WITHIN": within}
    if config.max_queries:
        causes["QUERIES"] = (f"a set had more than {config.max_queries} queries: the end of its "
                             "queries is missing")
    if not config.reuse:
        causes["UNEVEN"] = "a set had other numbers of keys and values"
    if "c" in config.streams:
        causes["COLUMNS"] = ("sorted columns were of another number of elements, out of order, or "
                             "of keys that their set does not have")
    if config.reuse:
        causes["MAP"] = ("a map that was to be reused was not there or did not fit, or one could "
                         "not be kept")
    return {**causes, **biases}


def ports_of(config):
    """Return what the ports of errors are, by name, as a data sheet says it."""
    bits = "; ".join(f"bit {place}, {name}: {meaning}"
                     for place, (name, meaning) in enumerate(causes_of(config).items()))
    return {"error": "sticky until reset or clear: causes is not 0",
            "clear": "clears causes",
            "causes": f"sticky until reset or clear: {bits}"}


class Causes(wiring.Component):
    """Sticky bits of what was found. A cause that is found while all are cleared stays.

    Parameters
    ----------
    config : AttentionConfig
        Configuration; :func:`causes_of` names its ``n`` causes.

    Members
    -------
    <cause> : In(1)
        The names of the causes, in lower case: one is found. Pulses.
    clear : In(1)
        Clear all.
    causes : Out(n)
        Causes found since a reset or ``clear``, from a register.
    error : Out(1)
        There is one of them.
    """

    def __init__(self, config):
        self._names = [name.lower() for name in causes_of(config)]
        super().__init__({**{name: In(1) for name in self._names}, "clear": In(1),
                          "causes": Out(len(self._names)), "error": Out(1)})

    def elaborate(self, platform):
        m = Module()
        for place, name in enumerate(self._names):
            with m.If(getattr(self, name)):
                m.d.sync += self.causes[place].eq(1)
            with m.Elif(self.clear):
                m.d.sync += self.causes[place].eq(0)
        m.d.comb += self.error.eq(self.causes.any())
        return m
