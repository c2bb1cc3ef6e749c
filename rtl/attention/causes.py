"""Causes of errors: what can go wrong with the sets of a configuration."""

__all__ = ["causes_of"]


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
