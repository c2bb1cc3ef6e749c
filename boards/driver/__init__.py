"""Host driver: NumPy arrays through a unit on a board, or in a simulation.

Needs NumPy and the standard library only, so that the folder can be copied to a board; but for
``verify=True`` and :mod:`~boards.driver.simulation`, which need ``rtl`` and ``sim``.
"""

from .device import Device
from .errors import AnswerError, DeviceError, TransferError, TransferTimeout
from .resident import ResidentSets
from .svd import SvdOutput
from .transport import Buffer, MemoryTransport, StreamTransport, Transport, TransportError
from .uio import Uio

__all__ = ["AnswerError", "Buffer", "Device", "DeviceError", "MemoryTransport", "ResidentSets",
           "StreamTransport", "SvdOutput", "TransferError", "TransferTimeout", "Transport",
           "TransportError", "Uio"]
