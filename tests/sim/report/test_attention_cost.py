"""Rows of the table of area and delay."""

from rtl import unit
from sim.report.attention_cost import COSTS


def test_rows_are_engines_that_differ():
    """Each store and datapath stands there with one and with four lanes."""
    configs = [unit("attention")(**parameters) for parameters in COSTS]
    assert len({config.name for config in configs}) == len(configs)
    assert {(config.store, config.datapath, config.lanes) for config in configs} >= {
        (store, datapath, lanes) for store in ("sets", "resident")
        for datapath in ("two-pass", "online") for lanes in (1, 4)}
