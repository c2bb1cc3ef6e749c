"""Attention maps that are kept, and used again for values of further layers."""
