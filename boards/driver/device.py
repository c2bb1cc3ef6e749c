"""A unit on a device, called with NumPy arrays."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .packing import Stream, checked_mask, loaded_parameters, packed_mask
from .registers import Registers
from .svd import SvdHead, SvdOutput
from .transfer import Rows, TransferError, TransferTimeout, dma, exchange
from .transport import MemoryTransport, StreamTransport, Transport

__all__ = ["Device", "DeviceError", "TransferError", "TransferTimeout"]

# What the registers of every unit have, and the arrangements that this driver knows.
MAGIC = 0x5452544C
STREAMS, DMA = 1, 2


class DeviceError(RuntimeError):
    """The device is not what the manifest says, or can not do what is asked for."""


class Device:
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
        if not isinstance(manifest, Mapping):
            manifest = _read(manifest)
        if "registers" not in manifest:
            raise DeviceError(f"Unit {manifest['name']} must have registers: generate it with "
                              "--control axi-lite or axi-dma")
        self.transport, self.manifest, self.timeout = transport, manifest, timeout
        self.registers = Registers(transport, manifest["registers"])
        self.streams = {name: Stream(name, **{key: each[key] for key in Stream.KEYS})
                        for name, each in manifest["streams"].items()}
        # Bytes of a word of TUSER, by the stream that has a channel for them.
        ports = manifest["modules"][f"{manifest['name']}_axis"]
        widths = {port["stream"]: port["width"] for port in ports
                  if port["name"].endswith("_tuser")}
        self._users = {each["stream"]: -(-widths[each["stream"]] // 8)
                       for each in manifest.get("channels", ()) if each["user"]}
        self._check()
        self._head = SvdHead(transport, self.registers, manifest, self.streams) \
            if manifest["unit"] == "svd-softmax" else None

    def _check(self) -> None:
        """Compare the registers that never change with the manifest."""
        registers, name = self.registers, self.manifest["name"]
        found = registers.read("ID")
        if found != MAGIC:
            raise DeviceError(f"Register ID must be 0x{MAGIC:08x}, not 0x{found:08x}: no unit of "
                              "this generator is at this address")
        arrangement = registers.fields("VERSION")["MAP"]
        wanted = registers.reset_of("VERSION", "MAP")
        if arrangement != wanted or wanted not in (STREAMS, DMA):
            raise DeviceError(f"Arrangement of the registers must be {wanted}, as the manifest of "
                              f"{name} says, not {arrangement}: load the bitstream made with it")
        found = registers.read("CONFIG_HASH")
        if found != int(self.manifest["hash"], 16):
            raise DeviceError(f"Configuration must be {self.manifest['hash']} ({name}), not "
                              f"{found:08x}: the bitstream holds another unit")
        kind = MemoryTransport if wanted == DMA else StreamTransport
        if not isinstance(self.transport, kind):
            raise DeviceError(f"Transport must be a {kind.__name__} for {name} "
                              f"{'with' if wanted == DMA else 'without'} DMA, not "
                              f"{type(self.transport).__name__}")
        self.reset()

    def reset(self) -> None:
        """Empty the unit, and clear errors and interrupts."""
        registers, transport = self.registers, self.transport
        if isinstance(transport, StreamTransport):
            transport.reset()
        registers.set("CONTROL", RESET=1)
        start = transport.now()
        while registers.fields("STATUS").get("DRAINING"):
            if transport.now() - start > self.timeout:
                raise TransferTimeout("Memory does not answer what the device asked for; only a "
                                      "new configuration of the device helps")
            transport.pause()
        registers.set("CONTROL", CLEAR_ERRORS=1)
        registers.write("IRQ_PENDING", 0xFFFFFFFF)

    # Units -------------------------------------------------------------------------------------

    def softmax(self, x: np.ndarray, mask: np.ndarray | None = None, *,
                verify: bool = False) -> np.ndarray:
        """Softmax of each row.

        Parameters
        ----------
        x : array of integers, shape (..., length)
            Logits.
        mask : array of booleans, broadcastable to ``x``
            True: the element takes no part. Needs a device with masks from memory
            (``--user memory``), or one with streams.
        verify : bool
            Whether to compare the result with :func:`sim.model.run`.

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
        users = {}
        if mask is not None:
            self._require_user("i")
            mask = checked_mask(mask, x.shape)
            users["i"] = packed_mask(mask.reshape(rows.shape[0], -1), self.streams["i"].lanes)
        y = self._rows(rows, users).reshape(x.shape)
        return self._verified(y, verify, x, **({} if mask is None else {"mask": mask}))

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
                  verify: bool = False) -> np.ndarray:
        """Attention of queries to the keys and values of their set.

        Parameters
        ----------
        q : array of integers, shape (..., m, dim)
            Queries.
        k, v : arrays of integers, shape (..., n, dim)
            Keys and values.
        mask : array of booleans, broadcastable to (..., n)
            True: the key takes no part. As in :meth:`softmax`.
        columns : array of integers, shape (..., n, dim)
            Sorted columns of the keys, for a unit with ``sort="host"``.
        verify : bool
            As in :meth:`softmax`.

        Returns
        -------
        array of integers, shape of ``q``
            Weighted sums of the values.
        """
        self._require("attention")
        if (store := self.manifest["parameters"].get("store")) == "resident":
            raise DeviceError(f"Parameter store must be another than {store}: its sets are driven "
                              "by commands, which send() takes")
        q, k, v = map(np.asarray, (q, k, v))
        self._check_sets(q, k, v)
        inputs = {"k": self.streams["k"].rows(k, 2), "v": self.streams["v"].rows(v, 2),
                  "q": self.streams["q"].rows(q, 2)}
        if ("c" in self.streams) != (columns is not None):
            raise ValueError("Sorted columns must be given for a unit with sort=\"host\", and for "
                             "no other")
        if columns is not None:
            inputs = {"c": self.streams["c"].rows(np.asarray(columns), 2), **inputs}
        users = {}
        if mask is not None:
            self._require_user("k")
            mask = checked_mask(mask, k.shape[:-1])
            beats = k.shape[-1] // self.streams["k"].lanes
            users["k"] = np.repeat(mask.reshape(-1, k.shape[-2]), beats, axis=1).astype(np.uint8)
        output = self.streams["o"]
        size = q.shape[-2] * q.shape[-1]
        y = self._transfer(inputs, users, size * output.size)
        y = output.elements(y, size).reshape(q.shape)
        # The model takes a set at a time.
        expected = self._model(verify, q, k, v, mask)
        return self._compared(y, expected)

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
        if verify:
            run = _model_of(self.manifest, {})
            expected = run(np.asarray(x), self._head.image.arrays(self.manifest), whole=True,
                           vocabulary=vocabulary, count=y.index.shape[-1])
            for name, value in y._asdict().items():
                if value is not None:
                    self._compared(value, getattr(expected, name))
        return y

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
        if min(q.ndim, k.ndim) < 2 or k.shape != v.shape or q.shape[:-2] != k.shape[:-2] or \
                q.shape[-1] != k.shape[-1] or q.shape[-1] != parameters["dim"]:
            raise ValueError(f"Shapes of q, k and v must be (..., m, {parameters['dim']}), "
                             f"(..., n, {parameters['dim']}) and as k, not {q.shape}, {k.shape} "
                             f"and {v.shape}")
        if not 1 <= k.shape[-2] <= parameters["max_keys"]:
            raise ValueError(f"Keys of a set must be 1..{parameters['max_keys']}, "
                             f"not {k.shape[-2]}")

    def _require(self, family: str) -> None:
        unit = self.manifest["unit"]
        if unit.partition("-")[0] != family:
            raise DeviceError(f"Device must hold a unit of {family}, not {unit}")

    def _require_user(self, stream: str) -> None:
        if isinstance(self.transport, MemoryTransport) and stream not in self._users:
            raise DeviceError("Masks must come from memory: generate the unit with --user memory")

    # Transfers ---------------------------------------------------------------------------------

    def _rows(self, rows: np.ndarray, users: Mapping[str, np.ndarray],
              loads: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """Rows through a unit that gives a row of as many elements for each."""
        size = rows.shape[1] // self.streams["i"].size
        output = self.streams["o"]
        if loads:
            self._transfer(dict(loads), {}, None)
        return output.elements(self._transfer({"i": rows}, users, size * output.size), size)

    def _transfer(self, inputs: Mapping[str, np.ndarray], users: Mapping[str, np.ndarray],
                  size: int | None) -> np.ndarray | None:
        """Send rows of bytes, and receive rows of ``size`` bytes, one for each of any input."""
        run = dma if isinstance(self.transport, MemoryTransport) else exchange
        try:
            return run(self.transport, self.registers,
                       [Rows(name, rows, self._words(name, rows, users))
                        for name, rows in inputs.items()], size, self.timeout)
        except (TransferError, TransferTimeout):
            self.reset()
            raise

    def _words(self, name: str, rows: np.ndarray,
               users: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """Words of TUSER of a stream's rows; a channel for them needs some, if only zeros."""
        if name in users or name not in self._users:
            return users.get(name)
        stream = self.streams[name]
        beats = -(-rows.shape[1] // (stream.lanes * stream.size))
        return np.zeros((len(rows), beats * self._users[name]), np.uint8)

    # Verification ------------------------------------------------------------------------------

    def _verified(self, y: np.ndarray, verify: bool, *arrays: np.ndarray,
                  changes: Mapping[str, Any] | None = None, **options: Any) -> np.ndarray:
        if not verify:
            return y
        return self._compared(y, _model_of(self.manifest, changes or {})(*arrays, **options))

    def _model(self, verify: bool, q: np.ndarray, k: np.ndarray, v: np.ndarray,
               mask: np.ndarray | None) -> np.ndarray | None:
        if not verify:
            return None
        run, shape = _model_of(self.manifest, {}), q.shape
        masks = [None] * (q.size // (q.shape[-1] * q.shape[-2])) if mask is None else \
            mask.reshape(-1, mask.shape[-1])
        sets = zip(*(each.reshape(-1, *each.shape[-2:]) for each in (q, k, v)), masks, strict=True)
        return np.stack([run(*arrays, **({} if m is None else {"mask": m}))
                         for *arrays, m in sets]).reshape(shape)

    def _compared(self, y: np.ndarray, expected: np.ndarray | None) -> np.ndarray:
        if expected is not None and not np.array_equal(y, expected):
            wrong = np.argwhere(y != expected)
            raise DeviceError(f"Result must be that of the model, not another in {len(wrong)} of "
                              f"{y.size} elements, first at {tuple(map(int, wrong[0]))}")
        return y


def _read(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    try:
        return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DeviceError(f"Manifest {path} can not be read: {error.strerror}") from None
    except ValueError as error:
        raise DeviceError(f"Manifest {path} is not valid JSON: {error}") from None


def _model_of(manifest: Mapping[str, Any], changes: Mapping[str, Any]):
    """The model of the unit, which this package otherwise does without."""
    try:
        from rtl import UnitConfig
        from sim import model
    except ImportError as error:
        raise DeviceError(f"Package {error.name} must be installed for verify=True") from None
    config = UnitConfig.from_dict({"unit": manifest["unit"], **manifest["parameters"], **changes})
    return lambda *arrays, **options: model.run(config, *arrays, **options)
