"""Bus shells: what stands between a unit's streams and the buses of a system."""

from .axi_stream import AxiStream

__all__ = ["AxiStream"]
