"""Store of the vectors of two sets: one is read while the next one is loaded."""

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..blocks.memory import ram
from .layouts import PlaceLayout
from .vector_beats import VectorBeats

__all__ = ["VectorStore"]


class VectorStore(wiring.Component):
    """Double-buffered memory of K or V, ``lanes`` vectors a word, with its input stream.

    The stream's beats are gathered into vectors, which go to lane 0, 1, ... of word 0, then of
    word 1 and so on. A set is complete with the beat that carries ``last``; sets are read in the
    order of their arrival. The stream stalls while two sets are complete.

    A set of more than ``max_keys`` vectors is cut there: its further beats are swallowed. A
    ``last`` within a vector ends the set with what there is of that vector. Of both the set has
    :attr:`failed`, and other sets stay as they are. Read latency 1 cycle; throughput one word
    read and one beat written per cycle. Empty after reset.

    Parameters
    ----------
    layout : VectorLayout
        Layout of a beat.
    vector_beats : int
        Beats of a vector.
    lanes : int
        Vectors per word.
    max_keys : int
        Vectors of a set at most.
    memory : "auto", "block" or "distributed"
        Kind of memory: by size, block RAM or LUT RAM.
    first : int
        Elements of a vector that are not stored, from the first on.
    preview : bool
        Whether there is a second read port, for vectors of any set as soon as they are written.
    apart : bool
        Whether each lane is read at a word of its own.

    Members
    -------
    i : In(stream.Signature(layout))
        Vectors.
    complete : Out(2)
        Number of complete sets that are not released, 0 to 2.
    end : Out(place_layout)
        ``word`` and ``lane`` of the last vector of the set that is read.
    word : In(range(words))
        Word of that set to read; with ``apart`` an ``ArrayLayout`` of one for each lane.
    o : Out(ArrayLayout(vector, lanes))
        Word that was read, a cycle later: for each lane the ``data`` of a vector, less what is not
        stored, and its ``mask`` if the stream has one.
    release : In(1)
        The set that is read leaves: from the next cycle on the other set is read.
    finished : Out(1)
        Pulses with the last beat of a set.
    bank : Out(1)
        Which of the two sets is written.
    place : Out(place_layout)
        ``word`` and ``lane`` of the vector at hand in that set.
    write : Out(1)
        Pulses when that vector is written.
    unstored : Out(ArrayLayout(element, first))
        Elements of that vector that are not stored.
    ends : Out(ArrayLayout(place_layout, 2))
        Place of the last vector of each of the two sets.
    use : Out(layout["use"])
        What the set that is read is for. Only if the stream says so.
    preview_word : In(range(words))
        Word to read at the second port. This and the next two only with ``preview``.
    preview_bank : In(1)
        Which of the two sets the second port reads.
    preview : Out(ArrayLayout(vector, lanes))
        Word that the second port read, a cycle later.
    reading : Out(1)
        Which of the two sets is read.
    failed : Out(2)
        Each of the two sets was cut, or ended within a vector: from its end to that of the set
        that takes its place.
    long, within : Out(1)
        A set is cut, or ends within a vector. Pulse, ``long`` with each beat that is swallowed.
    """

    def __init__(self, layout, vector_beats, lanes, max_keys, *, memory="auto", first=0,
                 preview=False, apart=False):
        self.layout = layout
        self.first = first
        self.vector_beats = vector_beats
        self.lanes = lanes
        self.max_keys = max_keys
        self.memory = memory
        self.words = -(-max_keys // lanes)
        members = {"data": data.ArrayLayout(layout.element, vector_beats * layout.lanes - first)}
        if "mask" in layout.members:
            members["mask"] = unsigned(1)
        #: Layout of a vector in the memory.
        self.vector = data.StructLayout(members)
        #: Layout of a place in a set.
        self.place_layout = PlaceLayout(max_keys, lanes)
        self._preview, self._apart = preview, apart
        word = range(self.words)
        second = {"preview_word": In(range(self.words)), "preview_bank": In(1),
                  "preview": Out(data.ArrayLayout(self.vector, lanes))} if preview else {}
        super().__init__({
            **second,
            "i": In(stream.Signature(layout)),
            "complete": Out(2),
            "end": Out(self.place_layout),
            "word": In(data.ArrayLayout(word, lanes) if apart else word),
            "o": Out(data.ArrayLayout(self.vector, lanes)),
            "release": In(1),
            "finished": Out(1),
            "bank": Out(1),
            "place": Out(self.place_layout),
            "write": Out(1),
            "unstored": Out(data.ArrayLayout(layout.element, first)),
            "ends": Out(data.ArrayLayout(self.place_layout, 2)),
            "reading": Out(1), "failed": Out(2), "long": Out(1), "within": Out(1),
            **({"use": Out(layout["use"].shape)} if "use" in layout.members else {}),
        })

    def elaborate(self, platform):
        m = Module()
        writing, reading = Signal(), self.reading
        transfer, whole, finished = Signal(), Signal(), self.finished
        m.submodules.beats = beats = VectorBeats(self.layout, self.vector_beats)
        vector = Signal(self.vector)
        m.d.comb += [beats.beat.eq(self.i.payload), beats.transfer.eq(transfer),
                     whole.eq(beats.whole), Cat(self.unstored, vector.data).eq(beats.elements)]
        if "mask" in self.layout.members:
            m.d.comb += vector.mask.eq(self.i.payload.mask)
        place = Signal(self.place_layout)
        cutting, cut = Signal(), Signal()
        final = ((place.word == self.words - 1)
                 & (place.lane == (self.max_keys - 1) % self.lanes))
        m.d.comb += [
            self.i.ready.eq(~self.complete[1]),
            transfer.eq(self.i.valid & self.i.ready),
            finished.eq(transfer & self.i.payload.last),
        ]

        write = self.write
        m.d.comb += [
            write.eq((whole | finished) & ~cutting),
            self.bank.eq(writing), self.place.eq(place),
            self.end.eq(Mux(reading, self.ends[1], self.ends[0])),
        ]
        for bank in range(2):
            with m.If(write & (writing == bank)):
                m.d.sync += self.ends[bank].eq(place)
        with m.If(write):
            # A set that goes on beyond this place stays on it, and is cut.
            with m.If(final):
                m.d.sync += cutting.eq(1)
            with m.Elif(place.lane == self.lanes - 1):
                m.d.sync += [place.lane.eq(0), place.word.eq(place.word + 1)]
            with m.Else():
                m.d.sync += place.lane.eq(place.lane + 1)
        m.d.comb += [self.long.eq(transfer & cutting), self.within.eq(finished & ~whole)]
        with m.If(finished):
            m.d.sync += [cutting.eq(0), cut.eq(0), place.eq(0), writing.eq(~writing)]
            for bank in range(2):
                with m.If(writing == bank):
                    m.d.sync += self.failed[bank].eq(cut | self.long | self.within)
        with m.Elif(self.long):
            m.d.sync += cut.eq(1)
        if "use" in self.layout.members:
            uses = Signal(data.ArrayLayout(self.layout["use"].shape, 2))
            m.d.comb += self.use.eq(Mux(reading, uses[1], uses[0]))
            for bank in range(2):
                with m.If(finished & (writing == bank)):
                    m.d.sync += uses[bank].eq(self.i.payload.use)
        with m.If(self.release):
            m.d.sync += reading.eq(~reading)
        with m.If(finished & ~self.release):
            m.d.sync += self.complete.eq(self.complete + 1)
        with m.Elif(self.release & ~finished):
            m.d.sync += self.complete.eq(self.complete - 1)

        # The second set starts at a power of two, so that an address is two parts side by side.
        size = 1 << (self.words - 1).bit_length()
        for lane in range(self.lanes):
            m.submodules[f"lane_{lane}"] = vectors = ram(
                self.vector, size + self.words, self.memory)
            port, read = vectors.write_port(), vectors.read_port()
            m.d.comb += [
                port.addr.eq(Cat(place.word, writing)),
                port.data.eq(vector), port.en.eq(write & (place.lane == lane)),
                read.addr.eq(Cat(self.word[lane] if self._apart else self.word, reading)),
                self.o[lane].eq(read.data),
            ]
            if self._preview:
                second = vectors.read_port()
                m.d.comb += [second.addr.eq(Cat(self.preview_word, self.preview_bank)),
                             self.preview[lane].eq(second.data)]
        return m
