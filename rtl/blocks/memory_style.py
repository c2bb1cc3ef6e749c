"""Kind of memory that a store is made of."""

__all__ = ["memory_style"]

# Words from which on a memory is worth a block RAM.
BLOCK_WORDS = 64


def memory_style(wanted, words):
    """Kind of a memory of so many words: the one that is ``wanted``, or by size for "auto"."""
    if wanted != "auto":
        return wanted
    return "block" if words > BLOCK_WORDS else "distributed"
