"""What an engine with resident sets says of its streams."""

from ...data_sheet import DataSheet, Format, ports_of_causes
from ..logit_bias import bias_format, bias_framing
from ..parameters import parameter_format
from ..sheet import scales_of, vector_framing

__all__ = ["sheet_of"]


def sheet_of(config):
    """Return the :class:`~rtl.data_sheet.DataSheet` of a configuration."""
    vectors, values = ({"packet": "command", "least": size, "step": size}
                       for size in (config.dim, config.value_dim))
    regions = config.regions
    past = "" if not regions.window else \
        f", the {regions.window} latest ones" + (f" and the {regions.sinks} first"
                                                 if regions.sinks else "")
    # With scales at run time a step is worth what the head says.
    scales = scales_of(config)
    formats = {
        "c": Format("word of a command; word 0: operation in bits 2..0 (0 query, 1 append, 2 "
                    "truncate, 3 free, 4 parameters of a head), abort in bit 3, head in bits "
                    "15..8, set in bits 31..16; word 1: count in bits 15..0, offset in bits "
                    "31..16", None, "command", 2, 2, 2),
        "q": Format("element of a query", scales["query"], **vectors),
        "k": Format("element of a key", scales["key"], **vectors),
        "v": Format("element of a value", scales["value"], **values),
        "p": parameter_format(config), "b": bias_format(config, regions.row_keys),
        "o": Format("element of an output", scales["output"], **values)}
    return DataSheet(
        formats={name: formats[name] for name in config.streams},
        framing=f"{vector_framing(config)} A command is one beat; append brings count keys and "
                "count values, query count queries, the first at position offset, each with TLAST "
                "in the last beat of the command's last vector. Outputs come in the order of the "
                "queries. Commands count in their order, whatever the other streams do. "
                f"{regions.sets} sets of {regions.capacity} keys; a query sees the keys of its set"
                f"{' up to its own position' if regions.causal else ''}{past}."
                + bias_framing(config, "those of the first positions that stay visible in front, "
                                       "then from the oldest key that it sees on, the key at "
                                       f"position j in lane j mod {config.lanes}"),
        latency="from a query's last beat accepted to its output's first beat valid, in an idle "
                f"engine, with no more than {config.lanes} keys, which are there",
        throughput="one query in as many cycles as it sees words of keys, "
                   f"{config.query_cycles(config.max_keys)} with {config.max_keys} keys",
        marks={"o": "a query found no set, no head, no keys, a refused append, or no longer all "
                    "keys that it sees"},
        ports=ports_of_causes(config.causes))
