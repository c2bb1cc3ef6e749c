"""Keys selected by a greedy search over sorted columns, as in A3 (HPCA 2020)."""
