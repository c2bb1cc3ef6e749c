"""What a unit says of itself to a reader who has nothing but the emitted file.

A configuration makes one :class:`DataSheet`; the header of the Verilog file and the manifest are
both made from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

__all__ = ["DataSheet", "Format", "ports_of_causes"]


@dataclasses.dataclass(frozen=True)
class Format:
    """What an element of a stream stands for; its width and sign are those of the stream's layout.

    Attributes
    ----------
    meaning : str
        What an element is, in a few words.
    scale : float or None
        Real value of one step; None where there is none, or a scale of the user's choice.
    packet : str
        What TLAST ends.
    least, most : int
        Elements of the shortest packet and of the longest one, all lanes of each beat in a stream
        without ``keep``; no limit if ``most`` is None.
    step : int
        A packet has a multiple of so many elements.
    """

    meaning: str
    scale: float | None = None
    packet: str = "row"
    least: int = 1
    most: int | None = None
    step: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSheet:
    """Formats, framing and timing of a unit, in sentences.

    Attributes
    ----------
    formats : dict of str to Format
        Elements of each stream, by its name.
    framing : str
        How rows, or what else TLAST ends, are framed.
    latency : str
        From where to where the latency counts.
    throughput : str
        Beats, or what is computed from them, per cycle.
    ports : dict of str to str
        What each port that belongs to no stream is.
    row : dict of str to str
        What each parameter of a row is that its first beat brings.
    marks : dict of str to str
        Of each output whose ``use`` is a mark, why a vector has one.
    """

    formats: Mapping[str, Format]
    framing: str
    latency: str = "from a row's last beat accepted to its first beat valid, in an idle unit"
    throughput: str = "one beat per cycle, in and out at the same time"
    ports: Mapping[str, str] = dataclasses.field(default_factory=lambda: {
        "error": "sticky until reset: a row was too long, or its keep malformed"})
    row: Mapping[str, str] = dataclasses.field(default_factory=dict)
    marks: Mapping[str, str] = dataclasses.field(default_factory=dict)


def ports_of_causes(causes: Mapping[str, str]) -> dict[str, str]:
    """Return what the ports of a unit with causes are, by name; ``config.causes`` names them."""
    bits = "; ".join(f"bit {place}, {name}: {meaning}"
                     for place, (name, meaning) in enumerate(causes.items()))
    return {"error": "sticky until reset or clear: causes is not 0",
            "clear": "clears causes",
            "causes": f"sticky until reset or clear: {bits}"}
