"""Handwritten digits: a small vision model on the images that scikit-learn carries."""

from __future__ import annotations

import numpy as np
import torch
from transformers import AutoModelForImageClassification

from ..errors import AccuracyError
from ..files import spread
from ..pretrained import load_model
from .task import Progress

__all__ = ["Digits", "images"]

BATCH = 64
CALIBRATION_IMAGES = 256


class Digits:
    """Digits of scikit-learn (1,797 images of 8 x 8): share of the last third that is right.

    The first two thirds are for training and calibration; other people wrote the last third.

    Parameters
    ----------
    name : str
        Folder of a model of image classification, or ``module:function``;
        :mod:`sim.accuracy.train` makes a small one.
    examples : int or None
        Images, spread evenly; None takes all.
    """

    title, unit = "digits, last third", "accuracy"
    relative, kinds, row = False, ("softmax", "layernorm"), 0

    def __init__(self, name: str, examples: int | None = None) -> None:
        (train, _), (pixels, labels) = images()
        self.name = name
        self.model = load_model(name, AutoModelForImageClassification)
        chosen = spread(list(range(len(labels))), examples)
        self._pixels, self._labels = pixels[chosen], labels[chosen]
        self._calibration = train[spread(list(range(len(train))), CALIBRATION_IMAGES)]
        self.labels = np.ones(len(chosen))

    def batches(self) -> list[dict[str, torch.Tensor]]:
        """Return images of the first two thirds."""
        return [{"pixel_values": part} for part in self._calibration.split(BATCH)]

    def predict(self, progress: Progress = iter) -> np.ndarray:
        """Return for each image whether the largest output is its digit."""
        right = []
        with torch.no_grad():
            for pixels, labels in progress(list(zip(self._pixels.split(BATCH),
                                                    self._labels.split(BATCH), strict=True))):
                right.append(self.model(pixel_values=pixels).logits.argmax(-1) == labels)
        return torch.cat(right).double().numpy()

    @staticmethod
    def score(predictions: np.ndarray, labels: np.ndarray) -> float:
        """Return the share that is right, in points."""
        return float(100.0 * predictions.mean())


def images() -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """Return pixels (images, 1, 8, 8) in -1..1 and labels: first two thirds, last third."""
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        if error.name != "sklearn":
            raise
        raise AccuracyError("Package scikit-learn is missing: pip install -e '.[digits]'") from None
    data = load_digits()
    pixels = torch.tensor(data.images / 8.0 - 1.0, dtype=torch.float32).unsqueeze(1)
    labels = torch.tensor(data.target, dtype=torch.int64)
    end = len(labels) * 2 // 3
    return (pixels[:end], labels[:end]), (pixels[end:], labels[end:])
