"""What the tests that simulate emitted Verilog share."""

import pytest

import rtl
from sim import runner


@pytest.fixture(autouse=True)
def registry():
    """Fails a test that leaves a unit registered."""
    before = rtl.units()
    yield
    assert rtl.units() == before


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Folder of what Verilator's models share."""
    # Processes that run the tests side by side have a folder each, in one that they share.
    return tmp_path_factory.getbasetemp().parent / "verilator"


@pytest.fixture(scope="session")
def require_simulator():
    """Skips the test unless the simulator of the given name can be used."""
    def require_simulator(name):
        try:
            runner.check_simulator(name)
        except runner.SimulatorError as error:
            pytest.skip(str(error))
    return require_simulator


@pytest.fixture(scope="session")
def icarus(require_simulator):
    """Skips the test without Icarus."""
    require_simulator("icarus")


@pytest.fixture(scope="session")
def verilator(require_simulator):
    """Skips the test without Verilator."""
    require_simulator("verilator")
