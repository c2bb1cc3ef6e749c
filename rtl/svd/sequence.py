"""Order of the passes of a vector, and of the scans of its logits."""

import enum

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .row_sums import Pass
from .setup import geometry_layout
from .words import job_layout

__all__ = ["Scan", "Sequence"]


class Scan(enum.IntEnum):
    """What a scan of all logits is for."""

    COUNT = 0
    SELECT = 1
    FEED = 2
    EMIT = 3


class Sequence(wiring.Component):
    """Steps of the engine: setup, then for each vector passes over rows and scans of logits.

    ::

        setup, or what is refused is dropped
        vector --> BASIS --> PREVIEW --> threshold, scan COUNT --> TAIL, scan SELECT --> scan FEED
        --> scan EMIT, while the next vector is taken, transformed and previewed

    Of the last vector of a batch the outputs are awaited: what follows is another setup.

    Parameters
    ----------
    config : SvdSoftmaxConfig
        Configuration.

    Members
    -------
    open : Out(1)
        A setup may be taken.
    done : In(1)
        A setup is complete.
    good : In(1)
        With ``done``: it holds for the vectors that come.
    geometry : In(geometry_layout(config))
        Registers, and what follows from them.
    load, drop : Out(1)
        Pulses to take a vector; to drop a batch.
    busy : In(1)
        That is not complete.
    broken : In(1)
        Pulses when the vector has a wrong length.
    ends : In(1)
        The vector is the last of its batch.
    job : Out(stream.Signature(job_layout(32, config.job_bits)))
        Reads of the basis and of the preview.
    start : Out(1)
        Pulses to begin a pass of ``rows`` rows.
    kind : Out(Pass)
        Kind of the rows.
    rows : Out(range(max(config.max_vocab + config.image.block_rows, config.dim) + 1))
        Rows of the pass.
    complete : In(1)
        All rows have their results.
    find : Out(1)
        Pulses to find the threshold.
    searching : In(1)
        The histogram is being cleared, or the threshold being found.
    rescan : In(1)
        Pulses when the threshold's search needs a scan.
    found : In(1)
        Pulses when the threshold is found.
    select : Out(1)
        Pulses to begin the selection.
    scan : Out(1)
        Pulses to begin a scan.
    use : Out(Scan)
        What the scan is for.
    scanned : In(1)
        The last logit of a scan was taken.
    emitting : Out(1)
        The scan EMIT is not complete.
    """

    def __init__(self, config):
        self.config = config
        most = max(config.max_vocab + config.image.block_rows, config.dim)
        super().__init__({
            "open": Out(1), "done": In(1), "good": In(1), "geometry": In(geometry_layout(config)),
            "load": Out(1), "drop": Out(1), "busy": In(1), "broken": In(1), "ends": In(1),
            "job": Out(stream.Signature(job_layout(32, config.job_bits))),
            "start": Out(1), "kind": Out(Pass), "rows": Out(range(most + 1)), "complete": In(1),
            "find": Out(1), "searching": In(1), "rescan": In(1), "found": In(1),
            "select": Out(1), "scan": Out(1), "use": Out(Scan), "scanned": In(1),
            "emitting": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        with m.If(self.scanned):
            m.d.sync += self.emitting.eq(0)
        with m.FSM():
            with m.State("SETUP"):
                m.d.comb += [self.open.eq(1), self.drop.eq(self.done & ~self.good)]
                with m.If(self.done):
                    m.next = "DROP"
                    with m.If(self.good):
                        m.next = "BEGIN"
            with m.State("DROP"):
                with m.If(~self.busy):
                    m.next = "SETUP"
            with m.State("BEGIN"):
                m.d.comb += self.load.eq(1)
                m.next = "LOAD"
            self._passes(m)
            self._scans(m)
            with m.State("FINISH"):
                with m.If(~self.emitting):
                    m.next = "SETUP"
        return m

    def _passes(self, m):
        """A vector up to the preview's logits."""
        config, geometry = self.config, self.geometry
        transforms = config.transform == "engine"

        def previewed():
            m.d.sync += [self.kind.eq(Pass.PREVIEW), self.rows.eq(geometry.preview_rows)]
            m.next = "ASK_PREVIEW"

        with m.State("LOAD"):
            with m.If(self.broken):
                m.next = "FINISH"
            with m.Elif(~self.busy):
                if transforms:
                    m.d.sync += [self.kind.eq(Pass.BASIS), self.rows.eq(config.dim)]
                    m.next = "ASK_BASIS"
                else:
                    previewed()
        if transforms:
            with m.State("ASK_BASIS"):
                m.d.comb += [
                    self.job.valid.eq(1), self.job.p.address.eq(geometry.basis),
                    self.job.p.words.eq(config.dim * config.image.basis_row_words),
                    self.start.eq(self.job.ready)]
                with m.If(self.start):
                    m.next = "BASIS"
            with m.State("BASIS"):
                with m.If(self.complete):
                    previewed()
        with m.State("ASK_PREVIEW"):
            m.d.comb += [
                self.job.valid.eq(~self.searching), self.job.p.address.eq(geometry.preview),
                self.job.p.words.eq(geometry.preview_words),
                self.start.eq(self.job.valid & self.job.ready)]
            with m.If(self.start):
                m.next = "PREVIEW"
        with m.State("PREVIEW"):
            with m.If(self.complete & ~self.emitting):
                m.d.comb += self.find.eq(1)
                m.next = "THRESHOLD"

    def _scans(self, m):
        """A vector's logits, from the threshold on."""
        def scan(use):
            m.d.comb += self.scan.eq(1)
            m.d.sync += self.use.eq(use)

        with m.State("THRESHOLD"):
            with m.If(self.rescan):
                scan(Scan.COUNT)
            with m.If(self.found):
                m.d.sync += [self.kind.eq(Pass.TAIL), self.rows.eq(self.geometry.count)]
                m.next = "BEGIN_SELECT"
        with m.State("BEGIN_SELECT"):
            scan(Scan.SELECT)
            m.d.comb += [self.select.eq(1), self.start.eq(1)]
            m.next = "SELECT"
        with m.State("SELECT"):
            with m.If(self.complete & self.scanned):
                scan(Scan.FEED)
                m.next = "FEED"
        with m.State("FEED"):
            with m.If(self.scanned):
                scan(Scan.EMIT)
                m.d.sync += self.emitting.eq(1)
                m.next = "BEGIN"
                with m.If(self.ends):
                    m.next = "FINISH"
