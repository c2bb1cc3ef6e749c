"""Integer models, test benches and accuracy tools of the units in :mod:`rtl`."""
