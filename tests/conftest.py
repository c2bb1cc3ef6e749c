"""What all tests share: simulators, the registry, and that in CI a skipped test is a failure."""

import os
import sys

import pytest

import rtl
from sim import runner

# Tests start hundreds of Python processes: each would compile the project again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Names a folder of real data; without it the tests that need it are skipped, and say so.
DATA = "TRANSFORMER_RTL_DATA"


def pytest_terminal_summary(terminalreporter, config):
    """In CI every skip is named, and fails the run unless it is for data that CI does not have."""
    if not os.environ.get("CI"):
        return
    for report in terminalreporter.getreports("skipped"):
        allowed = _allowed(report)
        kind = "needs data that is not there" if allowed else "must not be skipped in CI"
        terminalreporter.write_line(f"{report.nodeid} {kind}: {report.longrepr[2]}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    """Fail a run in CI that skipped what it must not."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and exitstatus == pytest.ExitCode.OK:
        for report in reporter.getreports("skipped"):
            if not _allowed(report):
                session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _allowed(report):
    """Whether a test may be skipped in CI: for data that is not there."""
    return DATA in report.longrepr[2] and not os.environ.get(DATA)


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
