"""Bus shells: what stands between a unit's streams and the buses of a system."""

from .axi_stream import AxiStream, element_bytes
from .controlled import ControlledUnit
from .dma_unit import DmaUnit

__all__ = ["AxiStream", "ControlledUnit", "DmaUnit", "element_bytes"]
