"""A unit on a device, called with NumPy arrays."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .bias_rows import checked_bias
from .errors import DeviceError, TransferError
from .link import Link
from .packing import (
    checked_mask,
    loaded_parameters,
    packed_rows,
    packed_users,
    scale_words,
)
from .resident import ResidentSets
from .row_parameters import RowParameters
from .svd import SvdHead, SvdOutput
from .transport import MemoryTransport, StreamTransport, Transport
from .verification import ModelledSets, compared, model_of, set_parameters

__all__ = ["Device"]


class Device(Link):
    """A unit behind a transport; checked before its first use.

    Arrays are integers, in the steps that the manifest says: those of :func:`sim.model.run`, and so
    are the results, bit for bit. Rows are on the last axis.

    Parameters
    ----------
    transport : Transport
        What reaches the device.
    manifest : path or dict
        ``manifest.json`` of the unit that it holds.
    timeout : float
        Seconds that a call may take.

    Raises
    ------
    DeviceError
        If the device holds something else.
    """

    def __init__(self, transport: Transport, manifest: str | os.PathLike[str] | Mapping[str, Any],
                 *, timeout: float = 1.0) -> None:
        self._sets: ResidentSets | None = None
        super().__init__(transport, manifest, timeout=timeout)
        self._head = SvdHead(transport, self.registers, self.manifest, self.streams) \
            if self.manifest["unit"] == "svd-softmax" else None

    def reset(self) -> None:
        """Empty the unit, and clear errors and interrupts. Resident sets are empty then."""
        if self._sets:
            self._sets.clear()
        super().reset()

    # Units -------------------------------------------------------------------------------------

    def softmax(self, x: np.ndarray, mask: np.ndarray | None = None, *,
                verify: bool = False, **row: Any) -> np.ndarray:
        """Softmax of each row.

        Parameters
        ----------
        x : array of integers, shape (..., length)
            Logits; with ``accumulator_bits`` accumulators.
        mask : array of booleans, broadcastable to ``x``
            True: the element takes no part. Needs a device with masks from memory
            (``--user memory``), or one with streams.
        verify : bool
            Whether to compare the result with :func:`sim.model.run`.
        row : integers, or arrays of them broadcastable to the shape of ``x`` less its last axis
            ``multiplier``, ``shift`` and ``offset`` of a unit with ``accumulator_bits``, ``sink``
            and ``sink_valid`` of one with a ``sink``, as :func:`sim.model.run` has them. Rows that
            share all of them get them by registers; others beside their elements, or where there
            is no way for that, one transfer for each set of values.

        Returns
        -------
        array of integers, shape of ``x``
            Probabilities, each worth the scale of the output.

        Raises
        ------
        DeviceError, TypeError, ValueError
            If the device holds another unit, or the arrays do not suit it.
        TransferError, TransferTimeout
            If the device found errors, or does not end; it is ready for the next call.
        """
        self._require("softmax")
        x = np.asarray(x)
        rows = self.streams["i"].rows(x)
        fields = RowParameters.fields(self.registers)
        given = RowParameters(fields, row, x.shape[:-1])
        if mask is not None:
            self._require_user("i")
            mask = checked_mask(mask, x.shape)
        y = self._softmax(rows, mask, x.shape[-1], given, sum(fields.values())).reshape(x.shape)
        return self._verified(y, verify, x, **row, **({} if mask is None else {"mask": mask}))

    def _softmax(self, rows: np.ndarray, mask: np.ndarray | None, length: int,
                 row: RowParameters, bits: int) -> np.ndarray:
        """Rows of bytes, with a mask and so many bits of parameters."""
        beside = isinstance(self.transport, StreamTransport) or "i" in self._users
        first = None
        if bits and beside and not row.uniform:
            self.registers.set("ROW", REGISTERS=0)
            first = row.bits()
        users = {}
        if mask is not None or first is not None:
            hidden = np.zeros((len(rows), length), bool) if mask is None else \
                mask.reshape(len(rows), length)
            users["i"] = packed_users(hidden, self.streams["i"].lanes, bits, first)
        if not bits or first is not None:
            return self._rows(rows, users)
        y = np.empty((len(rows), length), np.int32)
        for values, some in row.groups():
            row.apply(self.registers, values)
            y[some] = self._rows(rows[some], {name: each[some] for name, each in users.items()})
        return y

    def layernorm(self, x: np.ndarray, gamma: Iterable[int] | None = None,
                  beta: Iterable[int] | None = None, alpha: Iterable[int] | None = None, *,
                  verify: bool = False) -> np.ndarray:
        """LayerNorm, or RMSNorm, of each row.

        Parameters
        ----------
        x : array of integers, shape (..., channels)
            Elements.
        gamma, beta, alpha : sequences of integers or None
            Parameters of the channels, in the formats of the configuration, for a unit with
            ``channel_parameters="loaded"``. They stay until others come; None: those of the
            configuration, if any of the others is given.
        verify : bool
            As in :meth:`softmax`.
        """
        self._require("layernorm")
        x = np.asarray(x)
        rows = self.streams["i"].rows(x)
        parameters = self.manifest["parameters"]
        given = {name: tuple(int(each) for each in values) for name, values in
                 (("gamma", gamma), ("beta", beta), ("alpha", alpha)) if values is not None}
        if given and "load" not in self.streams:
            raise DeviceError(f"Parameter channel_parameters must be loaded to take "
                              f"{', '.join(given)}, not {parameters['channel_parameters']}")
        loads = {}
        if given:
            self._channel_values = given
            loads["load"] = self.streams["load"].rows(
                loaded_parameters(parameters, given, self.streams["load"])[None])
        y = self._rows(rows, {}, loads).reshape(x.shape)
        return self._verified(y, verify, x, changes=getattr(self, "_channel_values", {}))

    def attention(self, q: np.ndarray, k: np.ndarray, v: np.ndarray,
                  mask: np.ndarray | None = None, columns: np.ndarray | None = None, *,
                  parameters: Any = None, bias: np.ndarray | None = None,
                  verify: bool = False) -> np.ndarray:
        """Attention of queries to the keys and values of their set.

        Parameters
        ----------
        q : array of integers, shape (..., m, dim)
            Queries.
        k, v : arrays of integers, shapes (..., n, dim) and (..., n, value_dim)
            Keys and values.
        mask : array of booleans, broadcastable to (..., n)
            True: the key takes no part. As in :meth:`softmax`.
        columns : array of integers, shape (..., n, dim)
            Sorted columns of the keys, for a unit with ``sort="host"``.
        parameters : SetParameters, sequence of int, or a sequence of these
            For a unit with ``scales="run-time"``: the scales of all sets, or of each in the order
            of the leading axes, as :class:`rtl.attention.parameters.SetParameters` or its words.
        bias : array of integers, broadcastable to (..., m, n)
            For a unit with a ``bias``, without ``causal`` and with DMA: the elements of the stream
            ``b`` for each query and key; None: 0 for all.
        verify : bool
            As in :meth:`softmax`.

        Returns
        -------
        array of integers, shape (..., m, value_dim)
            Weighted sums of the values.
        """
        self._require("attention")
        if (store := self.manifest["parameters"]["store"]) == "resident":
            raise DeviceError(f"Parameter store must be another than {store}: its sets stay, and "
                              "resident() gives them")
        q, k, v = map(np.asarray, (q, k, v))
        self._check_sets(q, k, v)
        inputs = {"k": self.streams["k"].rows(k, 2), "v": self.streams["v"].rows(v, 2)}
        options: dict[str, Any] = {}
        if ("c" in self.streams) != (columns is not None):
            raise ValueError("Sorted columns must be given for a unit with sort=\"host\", and for "
                             "no other")
        if ("p" in self.streams) != (parameters is not None):
            raise ValueError("Parameters must be given for a unit with scales=\"run-time\", and "
                             "for no other")
        if parameters is not None:
            # First, as the queries of a set wait for them.
            words = scale_words(parameters, len(inputs["k"]), self.streams["p"])
            inputs = {"p": self.streams["p"].rows(words), **inputs}
            if verify:
                options["parameters"] = [set_parameters(self.manifest, each) for each in words]
        if columns is not None:
            # Behind the keys, and before the queries, which wait for them.
            inputs["c"] = self.streams["c"].rows(np.asarray(columns), 2)
        inputs["q"] = self.streams["q"].rows(q, 2)
        if "b" in self.streams:
            bias = options["bias"] = self._biases(bias, (*q.shape[:-1], k.shape[-2]))
            inputs["b"] = packed_rows(bias, self.streams["b"])
        elif bias is not None:
            raise ValueError('Biases must be given for a unit with bias "mask" or "add" only')
        users = {}
        if mask is not None:
            self._require_user("k")
            mask = options["mask"] = checked_mask(mask, k.shape[:-1])
            beats = k.shape[-1] // self.streams["k"].lanes
            users["k"] = np.repeat(mask.reshape(-1, k.shape[-2]), beats, axis=1).astype(np.uint8)
        output = self.streams["o"]
        size = q.shape[-2] * v.shape[-1]
        y = self._transfer(inputs, users, size * output.size)
        y = output.elements(y, size).reshape(*q.shape[:-1], v.shape[-1])
        return self._verified(y, verify, q, k, v, **options)

    def resident(self, *, verify: bool = False) -> ResidentSets:
        """Sets that stay in a device with ``store="resident"``: all of them, empty.

        Parameters
        ----------
        verify : bool
            Whether to compare all answers with :mod:`sim.model.attention.resident`.
        """
        self._require("attention")
        if (store := self.manifest["parameters"]["store"]) != "resident":
            raise DeviceError(f"Parameter store must be resident for sets that stay, not {store}")
        masks = "k" in self._users or isinstance(self.transport, StreamTransport)
        self._sets = None
        self.reset()
        self._sets = ResidentSets(self.manifest["parameters"], self.streams, masks, self._steps,
                                  ModelledSets(self.manifest) if verify else None)
        return self._sets

    def _biases(self, bias: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
        """Biases for each query and key of sets."""
        if not isinstance(self.transport, MemoryTransport):
            raise DeviceError("Biases must come from memory: generate the unit with --control "
                              "axi-dma")
        if self.manifest["parameters"]["causal"]:
            raise DeviceError("Parameter causal must be false for biases, not true: their rows "
                              "would differ in length")
        return checked_bias(bias, shape)

    def load_image(self, image: bytes | str | os.PathLike[str]) -> None:
        """Load the image of an output matrix, for a unit of SVD-softmax.

        It stays until another one comes, at the end of the memory for DMA.

        Parameters
        ----------
        image : bytes or path
            The image: ``image.bin`` of ``python -m sim.svd``.

        Raises
        ------
        ValueError
            If it is damaged, was made for another configuration, or does not fit the memory.
        """
        self._require("svd")
        self._head.load(image)

    def svd_softmax(self, x: np.ndarray, *, vocabulary: int | None = None,
                    count: int | None = None, verify: bool = False) -> SvdOutput:
        """SVD-softmax of hidden vectors over the words of the loaded image.

        Parameters
        ----------
        x : array of integers, shape (..., dim)
            Hidden vectors: before the transform, or behind it with ``transform="supplied"``.
        vocabulary : int or None
            Words V, the first ones of the image; None: all.
        count : int or None
            Words N of the full view; None: as the image recommends.
        verify : bool
            As in :meth:`softmax`.

        Returns
        -------
        SvdOutput
            Words of the full view with probability and logit, and the log-partition.

        Raises
        ------
        DeviceError, TypeError, ValueError
            If the device holds another unit, no image is loaded, or numbers do not suit it.
        TransferError, TransferTimeout
            As in :meth:`softmax`.
        """
        self._require("svd")
        try:
            y = self._head.run(x, vocabulary, count, self.timeout)
        except TransferError:
            self.reset()
            raise
        return self._head.verified(y, x, vocabulary) if verify else y

    def send(self, stream: str, x: np.ndarray, axes: int = 1) -> None:
        """Send packets into a stream, and wait until the unit has taken them.

        For what is loaded by itself, such as parameters at run time.

        Parameters
        ----------
        stream : str
            A stream of the unit.
        x : array of integers
            Elements; the last ``axes`` axes are a packet each.
        axes : int
            Axes of a packet.
        """
        if self._head:
            raise DeviceError("Device must hold another unit than svd-softmax to be sent packets: "
                              "load_image() and svd_softmax() send its own")
        inputs = [name for name in self.streams if name != "o"]
        if stream not in inputs:
            raise ValueError(f"Stream must be one of {', '.join(inputs)}, not {stream!r}")
        self._transfer({stream: self.streams[stream].rows(np.asarray(x), axes)}, {}, None)

    def _check_sets(self, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> None:
        parameters = self.manifest["parameters"]
        dim, value_dim = parameters["dim"], parameters["value_dim"]
        if min(q.ndim, k.ndim) < 2 or q.shape[:-2] != k.shape[:-2] or \
                (q.shape[-1], k.shape[-1]) != (dim, dim) or \
                v.shape != (*k.shape[:-1], value_dim):
            raise ValueError(f"Shapes of q, k and v must be (..., m, {dim}), (..., n, {dim}) and "
                             f"(..., n, {value_dim}), not {q.shape}, {k.shape} and {v.shape}")
        if not 1 <= k.shape[-2] <= parameters["max_keys"]:
            raise ValueError(f"Keys of a set must be 1..{parameters['max_keys']}, "
                             f"not {k.shape[-2]}")
        most = parameters["max_queries"] or q.shape[-2]
        if q.shape[-2] > most:
            raise ValueError(f"Queries of a set must be 1..{most}, not {q.shape[-2]}")

    # Transfers ---------------------------------------------------------------------------------

    def _rows(self, rows: np.ndarray, users: Mapping[str, np.ndarray],
              loads: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """Rows through a unit that gives a row of as many elements for each."""
        size = rows.shape[1] // self.streams["i"].size
        output = self.streams["o"]
        if loads:
            self._transfer(dict(loads), {}, None)
        return output.elements(self._transfer({"i": rows}, users, size * output.size), size)

    # Verification ------------------------------------------------------------------------------

    def _verified(self, y: np.ndarray, verify: bool, *arrays: np.ndarray,
                  changes: Mapping[str, Any] | None = None, **options: Any) -> np.ndarray:
        if not verify:
            return y
        return compared(y, model_of(self.manifest, changes or {})(*arrays, **options))
