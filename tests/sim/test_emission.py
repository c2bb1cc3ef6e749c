"""Emitted units on disk: the same text, and never another configuration's or another hardware's."""

import dataclasses

import rtl
from rtl.emit import verilog
from sim import emission

CONFIG = rtl.unit("softmax-e2")(lanes=1, max_length=4, bits=4)


def test_kept(tmp_path, monkeypatch):
    text = emission.emitted(CONFIG, tmp_path)
    assert text == verilog.of_unit(CONFIG)
    monkeypatch.setattr(verilog, "of_unit", None)
    assert emission.emitted(dataclasses.replace(CONFIG), tmp_path) == text
    assert len(list(tmp_path.iterdir())) == 1


def test_every_parameter_counts(tmp_path):
    for config in CONFIG, dataclasses.replace(CONFIG, sum_fraction_bits=12):
        assert emission.emitted(config, tmp_path) == verilog.of_unit(config)
    assert len(list(tmp_path.iterdir())) == 2


def test_changed_class_is_not_kept(tmp_path):
    """A class of the same name, as tests derive for their faults."""
    other = type("E2SoftmaxConfig", (type(CONFIG),), {"latency": 99})
    emission.emitted(other(lanes=1, max_length=4, bits=4), tmp_path)
    assert not list(tmp_path.iterdir())


def test_changed_source_is_seen(tmp_path, monkeypatch):
    emission.emitted(CONFIG, tmp_path)
    monkeypatch.setattr(emission, "_tools", lambda: "other")
    emission.emitted(CONFIG, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_store_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(emission, "KEPT", 2)
    for number in range(4):
        (tmp_path / f"old-{number}.v").write_text("")
    emission.emitted(CONFIG, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
