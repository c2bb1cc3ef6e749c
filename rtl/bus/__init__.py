"""Bus shells: what stands between a unit's streams and the buses of a system."""

from .axi_stream import AxiStream, element_bytes
from .controlled import ControlledUnit

__all__ = ["AxiStream", "ControlledUnit", "element_bytes"]
