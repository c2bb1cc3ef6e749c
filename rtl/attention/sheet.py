"""What an engine with whole sets says of its streams."""

from ..data_sheet import DataSheet, Format, ports_of_causes
from .logit_bias import bias_format, bias_framing
from .parameters import parameter_format

__all__ = ["scales_of", "sheet_of", "vector_framing"]

# What the throughput holds for, by the selection's name.
WHICH = {"none": "", "predict": ", if the prediction keeps all of them",
         "greedy": ", if all of them are candidates"}


def vector_framing(config):
    """Return how vectors are framed, in a sentence."""
    def size(what, elements, beats):
        return f"{what} is {elements} elements in {beats} beats"

    if config.value_dim == config.dim:
        text = size("A vector", config.dim, config.vector_beats)
    else:
        text = (f"{size('A query or key', config.dim, config.vector_beats)}, "
                f"{size('a value or output', config.value_dim, config.value_beats)}")
    return f"{text}, element 0 in lane 0 of the first one."


def scales_of(config):
    """Return what a step of queries, keys, values and outputs is worth: None at run time."""
    return {name: None if config.run_time else getattr(config, f"{name}_scale")
            for name in ("query", "key", "value", "output")}


def sheet_of(config):
    """Return the :class:`~rtl.data_sheet.DataSheet` of a configuration."""
    def packets(size, most=None):
        return {"packet": "set", "least": size, "step": size, "most": most and most * size}

    scales, most = scales_of(config), config.max_keys
    queries = f"up to {config.max_queries}" if config.max_queries else "any number of"
    formats = {"q": Format("element of a query", scales["query"], **packets(config.dim)),
               "k": Format("element of a key", scales["key"], **packets(config.dim, most)),
               "v": Format("element of a value", scales["value"],
                           **packets(config.value_dim, most)),
               "p": parameter_format(config), "b": bias_format(config, most),
               "c": Format("sorted column of the keys: value in bits 7..0, number of its key "
                           "from bit 8 on", config.key_scale, "set"),
               "o": Format("element of an output", scales["output"], **packets(config.value_dim))}
    return DataSheet(
        formats={name: formats[name] for name in config.streams},
        framing=f"{vector_framing(config)} TLAST is high in the last beat of a set's last vector. "
                f"A set is 1 to {most} keys, as many values, and {queries} queries; outputs come "
                "in the order of the queries, TUSER 1 for those of a set that failed."
                + (" Each set has one beat of parameters, in the order of the sets."
                   if config.run_time else "")
                + bias_framing(config, "in their order"),
        latency="from a query's last beat accepted to its output's first beat valid, in an idle "
                f"engine with no more than {config.lanes} keys",
        throughput=f"one query in {config.query_cycles(most)} cycles with {most} keys"
                   f"{WHICH[config.select]}",
        ports={**ports_of_causes(config.causes),
               "adjust": "take iterations and distance for the queries whose last beat is "
                         "accepted after this cycle",
               "iterations": f"iterations of the search; {config.iterations} after reset",
               "distance": f"distance of a candidate from the best logit, in logit steps; "
                           f"{config.distance} after reset"})
