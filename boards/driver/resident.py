"""Sets of keys and values that stay in a device, and grow: what decoding needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .bias_rows import bias_row, checked_bias
from .errors import AnswerError, DeviceError
from .packing import Stream, checked_mask, scale_words, within
from .verification import ModelledSets, compared

__all__ = ["ResidentSets", "Step"]

# Operations of a command, and the most that its count may be.
QUERY, APPEND, TRUNCATE, HEAD = 0, 1, 2, 4
ABORT = 1 << 3
MOST = (1 << 16) - 1


@dataclasses.dataclass(frozen=True)
class Step:
    """A command with what belongs to it.

    Attributes
    ----------
    inputs : dict of str to array of uint8, shape (1, bytes)
        A packet for each stream that gets one.
    users : dict of str to array of uint8, shape (1, bytes)
        Words of TUSER of some of them.
    size : int
        Bytes of the packet that comes; 0 for none.
    """

    inputs: Mapping[str, np.ndarray]
    users: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    size: int = 0


class ResidentSets:
    """Sets of a device with ``store="resident"``; of :meth:`boards.driver.Device.resident`.

    Sets are numbered from 0 on, and are empty at first; so they are after an error that resets the
    device. Parameters of heads stay. Positions count from 0 on; how many keys a set holds is
    counted here, so that nobody else may send commands.

    Parameters
    ----------
    parameters : dict
        Parameters of the configuration, as the manifest has them.
    streams : dict of str to Stream
        Streams of the unit.
    masks : bool
        Whether keys may be masked.
    run : callable
        Runs steps; returns the packets that come, as rows of bytes.
    model : ModelledSets or None
        What results are compared with.
    """

    def __init__(self, parameters: Mapping[str, Any], streams: Mapping[str, Stream], masks: bool,
                 run: Callable[[Sequence[Step]], np.ndarray | None],
                 model: ModelledSets | None = None) -> None:
        self._parameters, self._streams, self._masks = parameters, streams, masks
        self._run, self._model = run, model
        self._keys = [0] * parameters["sets"]
        # Sets whose positions the engine knows modulo 2**position_bits only.
        self._wrapped: set[int] = set()
        self._scaled = set() if "p" in streams else set(range(parameters["heads"]))

    def clear(self) -> None:
        """Note that a reset has emptied all sets. For the device."""
        self._keys = [0] * len(self._keys)
        self._wrapped.clear()
        if self._model:
            self._model.clear()

    def keys(self, number: int) -> int:
        """Number of keys that a set has taken, less those that were truncated."""
        return self._keys[within("Set", number, 0, len(self._keys) - 1)]

    # Commands ----------------------------------------------------------------------------------

    def head(self, head: int, parameters: Any) -> None:
        """Give a head its scales, for queries that follow.

        Parameters
        ----------
        head : int
            Number of the head.
        parameters : SetParameters, or sequence of int
            Its scales, or the words of the stream ``p``; for ``scales="run-time"``.
        """
        if "p" not in self._streams:
            raise DeviceError('Parameter scales must be "run-time" to take those of a head, not '
                              f'"{self._parameters["scales"]}"')
        head = within("Head", head, 0, self._parameters["heads"] - 1)
        words = scale_words(parameters, 1, self._streams["p"])
        step = Step({"c": self._command(HEAD, head=head), "p": self._streams["p"].rows(words)})
        self._run([step])
        self._scaled.add(head)
        if self._model:
            self._model.head(head, words[0])

    def append(self, number: int, k: np.ndarray, v: np.ndarray,
               mask: np.ndarray | None = None) -> None:
        """Append keys and values to a set.

        Parameters
        ----------
        number : int
            Number of the set.
        k, v : arrays of integers, shapes (n, dim) and (n, elements of a value)
            Keys and values.
        mask : array of booleans, broadcastable to (n,)
            True: the key takes no part. Needs ``--user memory`` of a device with DMA.

        Raises
        ------
        ValueError
            If the set has no room, or an array does not suit; nothing is sent then.
        """
        k, v, mask, step = self._appended(number, k, v, mask)
        self._run([step])
        self._note(number, k, v, mask)

    def truncate(self, number: int, keys: int = 0, *, abort: bool = False) -> None:
        """Keep the first ``keys`` keys of a set; 0 empties it.

        Parameters
        ----------
        number : int
            Number of the set.
        keys : int
            Keys that stay, of those that :meth:`keys` counts.
        abort : bool
            Whether queries that wait for values that go fail at once. No call of this class leaves
            any waiting.
        """
        there, most = self.keys(number), 1 << self._parameters["position_bits"]
        least = max(there - most // 2 + 1, 1) if number in self._wrapped else 1
        if keys and not least <= keys <= there:
            some = f" or {least}..{there}" if there else ""
            raise ValueError(f"Keys that stay in set {number} must be 0{some}, not {keys}")
        if keys and not keys % most:
            raise ValueError(f"Keys that stay must not be {keys}: positions count modulo {most}, "
                             "and 0 empties the set")
        if keys == there:
            return
        self._run([Step({"c": self._command(TRUNCATE | abort * ABORT, number,
                                            count=keys % most)})])
        self._keys[number] = keys
        if not keys:
            self._wrapped.discard(number)
        if self._model:
            self._model.truncate(number, keys % most, abort)

    def query(self, number: int, q: np.ndarray, *, offset: int | None = None,
              head: int | Sequence[int] = 0, bias: np.ndarray | None = None) -> np.ndarray:
        """Attention of queries to a set.

        Parameters
        ----------
        number : int
            Number of the set.
        q : array of integers, shape (m, dim), or (heads, m, dim)
            Queries, of one head or of several.
        offset : int or None
            Position of the first one; the others follow. None: that of the last key's query is
            the last one.
        head : int, or sequence of int
            Number of the head; for several of all of them.
        bias : array of integers, broadcastable to (m, n), or (heads, m, n)
            For a unit with a ``bias``: the elements of the stream ``b`` for each query and the keys
            at the positions 0 to n - 1, all that :meth:`keys` counts; None: 0 for all. Queries then
            go one by one.

        Returns
        -------
        array of int32, shape (m, elements of a value), or with the heads in front

        Raises
        ------
        AnswerError
            If the set could not answer one of them: it has no keys, or no longer those that the
            query sees.
        """
        return self._asked([], number, self.keys(number), q, offset, head, bias)

    def decode(self, number: int, k: np.ndarray, v: np.ndarray, q: np.ndarray,
               mask: np.ndarray | None = None, *, head: int | Sequence[int] = 0,
               bias: np.ndarray | None = None) -> np.ndarray:
        """Append the keys and values of a token, or of several, and answer their queries.

        As :meth:`append` and :meth:`query` one behind the other, in one transfer.
        """
        k, v, mask, step = self._appended(number, k, v, mask)
        # Queries are checked before anything is sent.
        return self._asked([step], number, self._keys[number] + len(k), q, None, head, bias,
                           sent=lambda: self._note(number, k, v, mask))

    # Steps -------------------------------------------------------------------------------------

    def _appended(self, number, k, v, mask):
        """Checked arguments of an append, and its step."""
        there = self.keys(number)
        k, v = (self._vectors(name, x) for name, x in (("k", k), ("v", v)))
        n = len(k)
        if len(v) != n:
            raise ValueError(f"Values must be {n}, as the keys, not {len(v)}")
        each = self._parameters
        lanes, ring = each["lanes"], each["window"] > 0
        most = each["max_keys"] - (-(-each["sinks"] // lanes) * lanes if ring else there)
        if not n <= min(most, MOST):
            held = "" if ring else f" of {each['max_keys']}, of which {there} are taken"
            raise ValueError(f"Keys that are appended to set {number} must be 1..{most}{held}, "
                             f"not {n}")
        users = {}
        if mask is not None:
            if not self._masks:
                raise DeviceError("Masks must come from memory: generate the unit with --user "
                                  "memory")
            mask = checked_mask(mask, (n,))
            beats = k.shape[1] // self._streams["k"].lanes
            users["k"] = np.repeat(mask, beats)[None].astype(np.uint8)
        inputs = {"c": self._command(APPEND, number, count=n),
                  "k": self._streams["k"].rows(k, 2), "v": self._streams["v"].rows(v, 2)}
        return k, v, mask, Step(inputs, users)

    def _note(self, number, k, v, mask):
        self._keys[number] += len(k)
        if self._keys[number] >= 1 << self._parameters["position_bits"]:
            self._wrapped.add(number)
        if self._model:
            self._model.append(number, k, v, mask)

    def _asked(self, before, number, there, q, offset, head, bias, sent=lambda: None):
        """Answers to queries, once there are so many keys, behind other steps."""
        several, q = np.ndim(head) > 0, np.asarray(q)
        numbers = [*head] if several else [head]
        if not numbers:
            raise ValueError("Heads of queries must be one at least, not none")
        if several and (q.ndim != 3 or len(q) != len(numbers)):
            raise ValueError(f"Queries must have the shape ({len(numbers)}, m, "
                             f"{self._streams['q'].least}), not {q.shape}")
        packets = [self._vectors("q", x) for x in (q if several else [q])]
        for each in numbers:
            within("Head", each, 0, self._parameters["heads"] - 1)
            if each not in self._scaled:
                raise DeviceError(f"Head {each} must have scales first: head({each}, parameters)")
        m, most = len(packets[0]), 1 << self._parameters["position_bits"]
        if m > MOST:
            raise ValueError(f"Queries of a call must be at most {MOST}, not {m}")
        offset = max(there - m, 0) if offset is None else offset
        offset = within(f"Offset of queries to set {number}", offset, max(there - most // 2, 0),
                        there + most // 2 - 1)
        output = self._streams["o"]
        asked = [(number, x, offset, each) for each, x in zip(numbers, packets, strict=True)]
        if bias is not None or "b" in self._streams:
            asked = self._biased(asked, bias, (*(len(numbers),) * several, m, there))
        size = len(asked[0][1]) * output.least
        steps = [self._question(size * output.size, *each) for each in asked]
        rows, failed = None, None
        try:
            rows = self._run([*before, *steps])
        except AnswerError as error:
            failed = error
        sent()
        expected, marked = self._expected(asked)
        if marked is not None and marked != (failed is not None):
            raise DeviceError(f"Answers must {'' if marked else 'not '}fail, as those of the model")
        if failed:
            raise failed
        shape = len(numbers), m, output.least
        y = compared(output.elements(rows, size).reshape(shape),
                     None if expected is None else expected.reshape(shape))
        return y if several else y[0]

    def _biased(self, asked, bias, shape):
        """The same queries one by one, each with the elements of its row of biases."""
        if "b" not in self._streams:
            raise ValueError('Biases must be given for a unit with bias "mask" or "add" only')
        bias = checked_bias(bias, shape).reshape(len(asked), *shape[-2:])
        return [(number, x[n:n + 1], offset + n, head,
                 bias_row(self._parameters, own[n], offset + n))
                for (number, x, offset, head), own in zip(asked, bias, strict=True)
                for n in range(len(x))]

    def _question(self, size, number, q, offset, head, bias=None):
        """Step of queries; ``size`` is the bytes of their answers."""
        offset %= 1 << self._parameters["position_bits"]
        inputs = {"c": self._command(QUERY, number, count=len(q), offset=offset, head=head),
                  "q": self._streams["q"].rows(q, 2)}
        if bias is not None:
            inputs["b"] = self._streams["b"].rows(bias)
        return Step(inputs, size=size)

    def _expected(self, asked):
        """What the model answers, and whether an answer fails; None without a model."""
        if not self._model:
            return None, None
        outputs, marks = zip(*(self._model.query(*each) for each in asked), strict=True)
        return np.stack(outputs), bool(np.any(marks))

    def _vectors(self, name, x):
        x, size = np.asarray(x), self._streams[name].least
        if x.ndim != 2 or x.shape[1] != size or not len(x):
            raise ValueError(f"Vectors of {name} must have the shape (n, {size}), not {x.shape}")
        return x

    def _command(self, operation, number=0, *, count=0, offset=0, head=0):
        """Bytes of the two words of a command."""
        words = np.array([operation | head << 8 | number << 16, count | offset << 16])
        return self._streams["c"].rows(words)
