"""LayerNorm models: one method a file, named after its unit."""
