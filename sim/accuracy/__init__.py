"""From a real model to integers: capture, calibration, bases."""
