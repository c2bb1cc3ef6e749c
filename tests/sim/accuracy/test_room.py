"""The room without PyTorch: it is asked for where it is needed, in one line."""

import sys

import pytest

from sim import accuracy


@pytest.fixture
def unloaded():
    """The room's modules are not loaded; afterwards they are those that were."""
    def inside():
        return {name: module for name, module in sys.modules.items()
                if name.startswith("sim.accuracy.")}

    modules, names = inside(), dict(vars(accuracy))
    for name in modules:
        if not name.endswith(".errors"):
            del sys.modules[name]
    yield
    # A second copy of a module has classes of its own, which equal none of the first.
    for name in inside():
        del sys.modules[name]
    sys.modules.update(modules)
    vars(accuracy).clear()
    vars(accuracy).update(names)


@pytest.mark.parametrize("package", ("torch", "transformers", "onnx"))
def test_missing_package(monkeypatch, unloaded, package):
    monkeypatch.setitem(sys.modules, package, None)
    if package == "transformers":
        pytest.importorskip("torch", reason="needs the extra torch, after torch==2.13.0")
    with pytest.raises(accuracy.AccuracyError, match=f"Package {package} is missing: pip install"):
        _ = getattr(accuracy, "onnx_reference" if package == "onnx" else "approximate")


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'aproximate'"):
        _ = accuracy.aproximate
