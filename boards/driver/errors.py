"""What a driver raises besides TypeError, ValueError and TransportError."""

__all__ = ["AnswerError", "DeviceError", "TransferError", "TransferTimeout"]


class DeviceError(RuntimeError):
    """The device is not what the manifest says, or can not do what is asked for."""


class TransferError(RuntimeError):
    """The device found errors in what it was given, or memory answered with some."""


class TransferTimeout(TransferError):
    """A transfer does not end."""


class AnswerError(RuntimeError):
    """Resident sets could not answer a query; they are as they were."""
