"""Tops for the Zynq-7000: a unit with registers and DMA behind the processing system."""

from .files import sources, top, zynq_files

__all__ = ["sources", "top", "zynq_files"]
