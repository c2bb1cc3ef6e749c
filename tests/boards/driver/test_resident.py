"""The Python driver on attention with scales at run time and on sets that stay."""

import dataclasses
import json

import numpy as np
import pytest

import rtl
from boards.driver import (
    AnswerError,
    Device,
    DeviceError,
    StreamTransport,
    TransferTimeout,
    Transport,
    TransportError,
)
from boards.driver.simulation import Simulation
from rtl.attention.parameters import SetParameters
from rtl.attention.resident.layouts import Operation
from rtl.emit import verilog
from rtl.emit.manifest import manifest
from sim import model
from sim.model.attention.resident import (
    Append,
    Head,
    Query,
    ResidentSets,
    SetHead,
    Truncate,
)

RING = dict(store="resident", causal=True, dim=4, io_lanes=2, lanes=2, max_keys=10, window=5,
            sinks=2, chunk=3, sets=2, heads=2, scales="run-time", position_bits=7, sink=True,
            value_dim=6)


def scales(config, n):
    own = {"sink_logit": 9 * n} if config.sink else {}
    return SetParameters.of(config, query_scale=0.002 + 0.01 * n, offset=5 * n, **own)


def vectors(seed, *shape):
    return np.random.default_rng(seed).integers(-128, 128, shape)


@pytest.mark.slow
def test_scales_of_sets():
    """Sets one behind the other, each with scales of its own; one for all of them."""
    config = rtl.unit("attention")(max_keys=6, dim=4, io_lanes=2, scales="run-time")
    simulation = Simulation(config)
    device = Device(simulation, simulation.manifest, timeout=0.2)
    q, k, v = vectors(1, 3, 2, 4), vectors(2, 3, 5, 4), vectors(3, 3, 5, 4)
    own = [scales(config, n) for n in range(3)]
    y = device.attention(q, k, v, parameters=own, verify=True)
    assert np.array_equal(y, model.run(config, q, k, v, parameters=own))
    y = device.attention(q, k, v, parameters=own[2].words, verify=True)
    assert np.array_equal(y, model.run(config, q, k, v, parameters=own[2]))
    assert not np.array_equal(y[0], model.run(config, q[0], k[0], v[0], parameters=own[0]))
    words = np.array([one.words for one in own])
    for change, message in (
            (None, "^Parameters must be given for a unit with scales=\"run-time\""),
            (own[:2], "^Parameters must be 4 words, or as many for each of 3 sets, not of shape"),
            (words * [0, 1, 1, 1], "^Multipliers of parameters must be 1..65535, not 0$"),
            (words | [0, 0, 0, 0x40], "^Shifts of parameters must be 0..63 in bits 5..0 and 13.."),
            (words + [0, 1 << 16, 0, 0], "^Elements of p must be in 0..65535")):
        with pytest.raises(ValueError, match=message):
            device.attention(q, k, v, parameters=change)
    with pytest.raises(DeviceError, match="^Parameter store must be resident for sets that stay"):
        device.resident()


class Unit(Transport, StreamTransport):
    """Registers and streams of a unit whose engine is the model: it checks the driver's words."""

    def __init__(self, config, marked=True):
        self.config = config
        self.manifest = json.loads(manifest(config, {}, verilog.control_of(config)))
        self._registers = {each["offset"]: each for each in self.manifest["registers"]}
        self.errors, self.heads = 0, None
        marks = [1 << field["low"] for field in self._registers[0x14]["fields"]
                 if field["name"] == "O_MARKED"]
        assert len(marks) == marked
        self.mark = sum(marks)
        self.reset()

    def reset(self):
        self.sets = ResidentSets(self.config, self.config.regions, self.heads)
        self.heads, self.packets, self.late = self.sets.heads, {}, ""

    def read32(self, offset):
        if offset == 0x14:
            return self.errors
        return sum(field["reset"] << field["low"] for field in self._registers[offset]["fields"])

    def write32(self, offset, value):
        if offset == 0x14:
            self.errors &= ~value

    def send(self, stream, packet, user=None):
        if stream == self.late:
            raise TransportError("Unit takes no beat of k, with 1 to send")
        self.packets[stream] = packet
        self.packets["mask"] = user or self.packets.get("mask")
        first, second = np.frombuffer(self.packets["c"], "<u4").tolist()
        operation, head, number = Operation(first & 7), first >> 8 & 255, first >> 16
        count, offset = second & 0xFFFF, second >> 16
        wanted = {Operation.QUERY: "cq", Operation.APPEND: "ckv", Operation.HEAD: "cp"}
        if not {*wanted.get(operation, "c")} <= {*self.packets}:
            return
        size = {"q": self.config.dim, "k": self.config.dim, "v": self.config.value_dim}
        x = {name: np.frombuffer(packet, "i1").reshape(-1, size[name]).astype(int)
             for name, packet in self.packets.items() if name in size}
        if operation is Operation.HEAD:
            own = SetParameters.from_words(self.config, np.frombuffer(self.packets["p"], "<u2"))
            self.sets.execute(SetHead(head, Head(own.logit, own.output, own.sink)))
        elif operation is Operation.APPEND:
            assert len(x["k"]) == len(x["v"]) == count
            beats, user = self.config.vector_beats, self.packets["mask"]
            mask = None if user is None else np.frombuffer(user, "u1")[::beats] > 0
            self.sets.execute(Append(number, x["k"], x["v"], mask))
        elif operation is Operation.QUERY:
            assert len(x["q"]) == count
            self.sets.execute(Query(number, x["q"], offset, head))
        else:
            self.sets.execute(Truncate(number, count, bool(first & 8)))
        self.packets.clear()

    def receive(self, stream, size, timeout):
        answer = self.sets.answers.pop()
        self.errors |= self.mark * bool(answer.marked.any())
        return answer.y.astype("i1").tobytes()


@pytest.fixture
def ring():
    """Sets of a unit, rings with two heads; and the unit."""
    unit = Unit(rtl.unit("attention")(**RING))
    sets = Device(unit, unit.manifest).resident(verify=True)
    for head in range(2):
        sets.head(head, scales(unit.config, head))
    return sets, unit


def keys(n):
    """Keys and values."""
    return vectors(1, n, 4), vectors(2, n, 6)


def token(sets, number, n=1, *, mask=None):
    """Tokens with two heads, compared with the driver's model."""
    k, v, q = (vectors([sets.keys(number), each], *shape)
               for each, shape in enumerate(((n, 4), (n, 6), (2, n, 4))))
    return sets.decode(number, k, v, q, mask, head=range(2))


def test_ring(ring):
    """Prompts, tokens one by one, truncations, until positions have wrapped twice."""
    sets, unit = ring
    token(sets, 0, 3, mask=np.array([False, True, False]))
    token(sets, 1, 2)
    assert len({token(sets, 0).tobytes() for _ in range(9)}) == 9
    sets.truncate(0, 10)
    token(sets, 0, 2)
    # 7 bits of a position.
    while sets.keys(0) < 300:
        token(sets, 0, 3)
    sets.truncate(0, 298)
    y = token(sets, 0)
    assert unit.sets._sets[0].keys % 128 == 299 % 128
    # One head by itself, at a position that is given or the last one.
    q = vectors(3, 1, 4)
    assert np.array_equal(sets.query(0, q, head=1), sets.query(0, q, offset=298, head=1))
    assert y.shape == (2, 1, 6) and not np.array_equal(y[0], y[1])
    sets.truncate(0)
    token(sets, 0)
    assert (sets.keys(0), sets.keys(1)) == (1, 2)


def test_masks_of_heads():
    """Two heads on one ring, each with a mask of its own: as two sets with these masks."""
    config = rtl.unit("attention")(**{**RING, "dim": 2, "value_dim": 2, "max_keys": 8, "window": 4,
                                      "sinks": 1, "chunk": 2, "sets": 1, "sink": False},
                                   bias="mask")
    simulation = Simulation(config, interrupts=False)
    sets = Device(simulation, simulation.manifest, timeout=0.5).resident(verify=True)
    masks = np.random.default_rng(1).random((2, 6)) < 0.4
    heads = [scales(config, n) for n in range(2)]
    apart = ResidentSets(config, dataclasses.replace(config.regions, sets=2),
                         [Head(own.logit, own.output) for own in heads])
    for number, own in enumerate(heads):
        sets.head(number, own)
    for there, n in (2, 2), (3, 1), (5, 2), (6, 1):
        k, v, q = vectors(there, n, 2), vectors(there + 10, n, 2), vectors(9, 2, n, 2)
        y = sets.decode(0, k, v, q, head=range(2), bias=masks[:, None, :there])
        for number, mask in enumerate(masks):
            apart.execute(Append(number, k, v, mask[there - n:there]))
            apart.execute(Query(number, q[number], there - n, number))
            assert np.array_equal(y[number], apart.answers.pop().y)
    with pytest.raises(ValueError, match=r"^Biases must fit the shape \(1, 6\), not \(5,\)$"):
        sets.query(0, q[0], bias=masks[0, :5])


def test_answers_that_fail(ring):
    """Sets without keys, or without those that a query sees; they go on afterwards."""
    sets, unit = ring
    q = vectors(1, 1, 4)
    for _ in range(12):
        token(sets, 0)
    for number, offset in (1, 0), (0, 2):
        with pytest.raises(AnswerError, match="^an answer at o is 0 and has a mark: a query found"):
            sets.query(number, q, offset=offset)
        assert not unit.errors
    token(sets, 0)
    # The device and the model must fail alike, and answer alike.
    unit.mark = 0
    with pytest.raises(DeviceError, match="^Answers must fail, as those of the model$"):
        sets.query(1, q)
    unit.sets.execute(Truncate(0, 5))
    with pytest.raises(DeviceError, match="^Result must be that of the model, not another in "):
        sets.query(0, q)


def test_transfer_that_does_not_end(ring):
    """The device is reset: sets are empty, heads keep their scales."""
    sets, unit = ring
    token(sets, 0, 3)
    unit.late = "k"
    with pytest.raises(TransferTimeout, match="^Unit takes no beat of k, with 1 to send$"):
        token(sets, 0)
    assert sets.keys(0) == 0
    token(sets, 0, 2)


@pytest.mark.parametrize("call, kind, message", [
    (lambda s: s.append(2, *keys(1)), ValueError, "Set must be in 0..1, not 2"),
    (lambda s: s.append(0, *keys(9)), ValueError,
     "Keys that are appended to set 0 must be 1..8, not 9"),
    (lambda s: s.append(0, *vectors(1, 2, 2, 3)), ValueError,
     r"Vectors of k must have the shape \(n, 4\), not \(2, 3\)"),
    (lambda s: s.append(0, vectors(1, 2, 4), vectors(1, 1, 6)), ValueError,
     "Values must be 2, as the keys, not 1"),
    (lambda s: s.append(0, keys(1)[0] + 300, keys(1)[1]), ValueError,
     "Elements of k must be in -128..127, not "),
    (lambda s: s.query(0, vectors(1, 1, 4), head=2), ValueError, "Head must be in 0..1, not 2"),
    (lambda s: s.query(0, vectors(1, 1, 4), head=[0, 1]), ValueError,
     r"Queries must have the shape \(2, m, 4\), not \(1, 4\)"),
    (lambda s: s.query(0, vectors(1, 1, 4), offset=64), ValueError,
     "Offset of queries to set 0 must be in 0..63, not 64"),
    (lambda s: s.query(0, vectors(0, 1, 4)[:0], head=[]), ValueError,
     "Heads of queries must be one at least, not none"),
    (lambda s: s.query(0.0, vectors(1, 1, 4)), TypeError, "Set must be an integer, not 0.0"),
    (lambda s: s.query(0, vectors(1, 1, 4), head=0.5), TypeError,
     "Head must be an integer, not 0.5"),
    (lambda s: s.truncate(0, 3), ValueError, "Keys that stay in set 0 must be 0, not 3"),
    (lambda s: s.head(0, [1, 2, 3]), ValueError, "Parameters must be 8 words, or as many for "),
])
def test_calls_that_do_not_suit(ring, call, kind, message):
    """Refused before anything is sent."""
    sets, unit = ring
    unit.late = "c"
    with pytest.raises(kind, match=f"^{message}"):
        call(sets)


def test_positions_that_wrap(ring):
    sets, _ = ring
    while sets.keys(0) < 130:
        sets.append(0, *keys(5))
    for stay, message in ((128, "^Keys that stay must not be 128: positions count modulo 128"),
                          (60, "^Keys that stay in set 0 must be 0 or 67..130, not 60$")):
        with pytest.raises(ValueError, match=message):
            sets.truncate(0, stay)
    with pytest.raises(ValueError, match="^Offset of queries to set 0 must be in 66..193, not 65$"):
        sets.query(0, vectors(1, 1, 4), offset=65)


def test_sets_of_fixed_size():
    """Without a window a set has room for so many keys, and scales are fixed."""
    unit = Unit(rtl.unit("attention")(store="resident", dim=4, io_lanes=2, max_keys=4))
    device = Device(unit, unit.manifest)
    sets = device.resident(verify=True)
    sets.append(0, *vectors(1, 2, 3, 4))
    assert sets.query(0, vectors(2, 5, 4)).shape == (5, 4)
    with pytest.raises(ValueError, match="set 0 must be 1..1 of 4, of which 3 are taken, not 2$"):
        sets.append(0, *vectors(1, 2, 2, 4))
    with pytest.raises(DeviceError, match='^Parameter scales must be "run-time" to take those of'):
        sets.head(0, [1, 0, 1, 0])
    with pytest.raises(DeviceError, match="^Parameter store must be another than resident: its se"):
        device.attention(*vectors(1, 3, 2, 4))


def test_scales_come_first():
    unit = Unit(rtl.unit("attention")(**RING))
    sets = Device(unit, unit.manifest).resident()
    sets.append(0, *keys(1))
    with pytest.raises(DeviceError, match=r"^Head 0 must have scales first: head\(0, parameters"):
        sets.query(0, vectors(1, 1, 4))


def test_columns_come_behind_their_keys():
    """One stream behind the other: queries wait for the columns, and these for the keys."""
    order = []

    class Greedy(Unit):
        def reset(self):
            order.clear()

        def send(self, stream, packet, user=None):
            order.append(stream)

        def receive(self, stream, size, timeout):
            return bytes(size)
    unit = Greedy(rtl.unit("attention")(max_keys=4, dim=4, io_lanes=2, select="greedy",
                                        sort="host"), marked=False)
    q, k, v, columns = vectors(1, 4, 2, 4)
    Device(unit, unit.manifest).attention(q, k, v, columns=columns & 255)
    assert order == ["k", "v", "c", "q"]
