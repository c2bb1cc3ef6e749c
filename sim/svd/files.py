"""Files of a layer for the engine.

=================== ==========================================================================
``image.bin``       the memory image (:mod:`rtl.svd.image`)
``image.json``      its shape, addresses and steps
``config.json``     configuration of the engine, for ``rtl.generate --config``
``report.md``       expected figures; ``report.json`` has the same
``transform.npz``   with ``transform="supplied"``: ``matrix`` and ``offset``; the engine is given
                    ``round(matrix @ hidden - offset)``, saturated
=================== ==========================================================================
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np

from rtl.publish import publish

from .quantise import Quantised
from .report import Report

__all__ = ["write"]


def write(folder: Path, quantised: Quantised, report: Report) -> None:
    """Write the files: all of them or, if one can not be written, none.

    Raises
    ------
    OSError
        If one can not be written.
    """
    config = quantised.config
    files = {"image.bin": quantised.image.pack(config),
             "image.json": json.dumps(_facts(quantised), indent=1) + "\n",
             "config.json": config.to_json(), "report.md": report.to_markdown(),
             "report.json": report.to_json()}
    if config.transform == "supplied":
        content = io.BytesIO()
        steps = quantised.steps
        np.savez(content, matrix=quantised.factors.transform / steps[:, None],
                 offset=quantised.factors.offset / steps)
        files["transform.npz"] = content.getvalue()
    publish(folder, files)


def _facts(quantised: Quantised) -> dict[str, object]:
    config, image = quantised.config, quantised.image
    return {
        "config": config.name, "hash": f"{config.image_hash:08x}",
        "vocabulary": image.vocabulary, "window": image.columns, "count": image.count,
        "shift": image.shift, "addresses": config.image.addresses(image.vocabulary, image.columns),
        "hidden_step": quantised.hidden_step if config.transform == "engine" else None,
        "logit_step": config.logit_scale, "log_partition_step": config.log_scale}
