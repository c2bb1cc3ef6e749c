"""One-pass datapath: weights relative to a running reference, sums that are shifted."""
