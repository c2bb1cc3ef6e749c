"""Processes that tests start load compiled modules."""

import subprocess
import sys


def test_processes_keep_what_they_compile():
    """Hundreds of processes that compile the project anew take longer than the tests."""
    assert not sys.dont_write_bytecode
    subprocess.run([sys.executable, "-c", "import sys; sys.exit(sys.dont_write_bytecode)"],
                   check=True)
