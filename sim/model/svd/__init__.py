"""Model of the SVD-softmax engine."""
