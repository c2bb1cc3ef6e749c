"""Arrays that are freed stay with the process."""

import platform
import subprocess
import sys

from sim.memory import keep_memory

COUNT = """
import resource
import numpy as np
from sim.memory import keep_memory
assert keep_memory()
def work():
    a = np.zeros(1 << 18, np.int32) + 1
    b = a + a
for _ in range(3):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_no_page_faults():
    if platform.libc_ver()[0] != "glibc":
        assert not keep_memory()
        return
    faults = int(subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True,
                                check=True).stdout)
    assert faults < 20
