"""Real data: texts, sentences and hidden states in a folder that the user names."""

from __future__ import annotations

import os
import pathlib

from ..errors import RequestError

__all__ = ["DATA", "data_file"]

#: Environment variable that names the folder.
DATA = "TRANSFORMER_RTL_DATA"


def data_file(name: str) -> pathlib.Path:
    """Return the path of a data file.

    Raises
    ------
    RequestError
        If the environment variable is not set.
    """
    folder = os.environ.get(DATA)
    if not folder:
        raise RequestError(f"Environment variable {DATA} must name the folder of {name}; it is "
                           "not set")
    return pathlib.Path(folder) / name
