"""The comparison that suits a job."""

from __future__ import annotations

from collections.abc import Sequence

from ..bench.attention import AttentionJob
from ..bench.jobs import Job, LoadJob, RowJob
from ..runner import TestResult
from .attention import compare_attention
from .loads import compare_loads
from .rows import compare_rows
from .simulation import CompiledSimulation

__all__ = ["compare"]

_COMPARISONS = {RowJob: compare_rows, LoadJob: compare_loads, AttentionJob: compare_attention}


def compare(simulation: CompiledSimulation, job: Job,
            tests: Sequence[str] | None = None) -> list[TestResult]:
    """Run tests of the bench that the job names, or all of them, compiled."""
    return _COMPARISONS[type(job)](simulation, job, tests)
