"""SVD-softmax offline: basis, quantisation, choice of window and count, images, expected figures.

``python -m sim.svd MATRIX.npz STATES.npz`` makes memory images of an output layer and reports what
they are expected to lose.
"""
