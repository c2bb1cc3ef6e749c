"""Faults put into a synthesised design, all in one build, for tests of the benches."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from rtl.emit import yosys

from ..bench.attention import AttentionJob
from ..bench.jobs import Job, LoadJob, RowJob
from ..bench.svd import SvdJob
from ..compiled.attention import AttentionComparison
from ..compiled.loads import LoadComparison
from ..compiled.rows import RowComparison
from ..compiled.simulation import CompiledSimulation
from ..compiled.svd import SvdComparison
from ..runner import Design

__all__ = ["Mutant", "mutants_of", "try_mutants"]

# Input that selects a mutant; 0 is none.
CONTROL = "mutant"

# Pins without a mutant.
PINS = r"-port (C|CLK|(RD|WR)_CLK|RD_[AS]RST|INIT|RD_EN) "


COMPARISONS = {RowJob: RowComparison, LoadJob: LoadComparison,
               AttentionJob: AttentionComparison,
               SvdJob: SvdComparison}


@dataclasses.dataclass(frozen=True)
class Mutant:
    """A single fault of a design, and what came of it.

    Attributes
    ----------
    number : int
        Value of the input ``mutant`` that selects it, from 1.
    change : str
        Yosys's words for it: mode, cell, port and bit.
    test : str
        Test that finds it, the first of those of the comparison; empty if none does.
    failure : str
        What that test says.
    """

    number: int
    change: str
    test: str = ""
    failure: str = ""

    def __str__(self) -> str:
        found = f"found by {self.test}: {self.failure}" if self.test else "NOT FOUND"
        return f"mutant {self.number}: {self.change}: {found}"


def mutants_of(design: Design, count: int, seed: int = 1) -> tuple[Design, list[Mutant]]:
    """Return a design with ``count`` single faults, none or one of which an input selects.

    Yosys draws them (``mutate``): a pin inverted, stuck, or depending on another one. They are put
    behind logic optimisation, into look-up tables, registers and memories: before it, up to half
    of them do nothing, as they hit what the optimisation removes.
    """
    mapped = yosys.run([
        # Registers start at random, so that a missing reset shows.
        "read_verilog design.v", "proc", "setattr -unset init w:*",
        f"synth -flatten -noshare -run :fine -top {design.top}",
        "opt -fast -full", "techmap", "opt -fast",
        'abc -lut 4 -script "+strash;dc2;if -K 4"', "opt -fast", "opt_clean -purge",
        "write_rtlil mapped.il", f"mutate -list {3 * count} -seed {seed} -o drawn.txt"],
        {"design.v": design.verilog})
    # A clock with a fault is another clock, and these pins of memories are constants.
    lines = [line for line in mapped["drawn.txt"].splitlines() if not re.search(PINS, line)]
    lines = lines[:count]
    assert len(lines) == count
    width = count.bit_length()
    commands = [line.replace("mutate", f"mutate -ctrl {CONTROL} {width} {number}", 1)
                for number, line in enumerate(lines, 1)]
    written = yosys.run(["read_rtlil mapped.il", *commands, "splitnets",
                         "write_verilog -noattr mutants.v"], {"mapped.il": mapped["mapped.il"]})
    words = re.compile(r"-(?:mode|cell|port|portbit|wire|wirebit) (\S+)")
    mutants = [Mutant(number, " ".join(words.findall(line)))
               for number, line in enumerate(lines, 1)]
    return dataclasses.replace(design, verilog=written["mutants.v"],
                               selectors=(*design.selectors, CONTROL)), mutants


def try_mutants(simulation: CompiledSimulation, mutants: list[Mutant],
                jobs: Sequence[Job]) -> list[Mutant]:
    """Return the mutants of a built design with the tests that find them.

    Each is given all tests of the jobs' comparisons, one after the other, until one fails.

    Raises
    ------
    AssertionError
        If a test fails without a mutant.
    """
    def first_failure(number: int) -> tuple[str, str]:
        simulation.control(CONTROL, number)
        for job in jobs:
            kind = COMPARISONS[type(job)]
            for test in kind.TESTS:
                failure = kind(simulation, job, test).result().failure
                if failure:
                    return test, failure
        return "", ""

    none = first_failure(0)
    assert none == ("", ""), none
    return [dataclasses.replace(mutant, test=test, failure=failure)
            for mutant in mutants for test, failure in [first_failure(mutant.number)]]
