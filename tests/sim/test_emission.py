"""Emitted units on disk: the same text, and never another configuration's or another hardware's."""

import dataclasses

import pytest

import rtl
from rtl.emit import verilog
from sim import emission
from sim.text_store import TextStore

CONFIG = rtl.unit("softmax-e2")(lanes=1, max_length=4, bits=4)


@pytest.fixture
def store(tmp_path):
    return TextStore(tmp_path, ".v")


def test_kept(store, tmp_path, monkeypatch):
    text = emission.emitted(CONFIG, store)
    assert text == verilog.of_unit(CONFIG)
    monkeypatch.setattr(verilog, "of_unit", None)
    assert emission.emitted(dataclasses.replace(CONFIG), store) == text
    assert len(list(tmp_path.iterdir())) == 1


def test_every_parameter_counts(store, tmp_path):
    for config in CONFIG, dataclasses.replace(CONFIG, sum_fraction_bits=12):
        assert emission.emitted(config, store) == verilog.of_unit(config)
    assert len(list(tmp_path.iterdir())) == 2


def test_changed_class_is_not_kept(store, tmp_path):
    """A class of the same name, as tests derive for their faults."""
    other = type("E2SoftmaxConfig", (type(CONFIG),), {"latency": 99})
    emission.emitted(other(lanes=1, max_length=4, bits=4), store)
    assert not list(tmp_path.iterdir())


def test_changed_source_is_seen(store, tmp_path, monkeypatch):
    emission.emitted(CONFIG, store)
    monkeypatch.setattr(emission, "_tools", lambda: "other")
    emission.emitted(CONFIG, store)
    assert len(list(tmp_path.iterdir())) == 2
