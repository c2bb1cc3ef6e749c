"""Bus shells: what stands between a unit's streams and the buses of a system."""

from .axi_stream import AxiStream, element_bytes

__all__ = ["AxiStream", "element_bytes"]
