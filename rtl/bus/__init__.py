"""Bus shells: what stands between a unit's streams and the buses of a system."""

from .axis import AxiStream


__all__ = ["AxiStream"]
