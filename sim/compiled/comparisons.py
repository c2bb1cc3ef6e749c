"""The comparison that suits a job."""

from __future__ import annotations

from collections.abc import Sequence

from ..bench.attention import AttentionJob
from ..bench.jobs import Job, LoadJob, RowJob
from ..bench.resident import ResidentJob
from ..bench.svd import SvdJob
from ..runner import TestResult
from .attention import compare_attention
from .loads import compare_loads
from .resident import compare_resident
from .rows import compare_rows
from .simulation import CompiledSimulation
from .svd import compare_svd

__all__ = ["compare"]

_COMPARISONS = {RowJob: compare_rows, LoadJob: compare_loads, AttentionJob: compare_attention,
                ResidentJob: compare_resident, SvdJob: compare_svd}


def compare(simulation: CompiledSimulation, job: Job,
            tests: Sequence[str] | None = None) -> list[TestResult]:
    """Run tests of the bench that the job names, or all of them, compiled."""
    return _COMPARISONS[type(job)](simulation, job, tests)
