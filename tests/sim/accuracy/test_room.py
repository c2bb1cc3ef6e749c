"""The room without PyTorch: it is asked for where it is needed, in one line."""

import sys

import pytest

from sim import accuracy


@pytest.mark.parametrize("package", ("torch", "transformers", "onnx"))
def test_missing_package(monkeypatch, package):
    for name in list(sys.modules):
        if name.startswith("sim.accuracy.") and not name.endswith(".errors"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    if package == "transformers":
        pytest.importorskip("torch", reason="needs the extra torch, after torch==2.13.0")
    with pytest.raises(accuracy.AccuracyError, match=f"Package {package} is missing: pip install"):
        _ = getattr(accuracy, "onnx_reference" if package == "onnx" else "approximate")


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'aproximate'"):
        _ = accuracy.aproximate
