"""What an SVD-softmax engine says of its streams."""

from ..data_sheet import DataSheet, Format, ports_of_causes

__all__ = ["sheet_of"]


def sheet_of(config):
    """Return the :class:`~rtl.data_sheet.DataSheet` of a configuration."""
    before = "before the transform" if config.transform == "engine" else "transformed"
    # An eighth of the columns, and a sixteenth of the words, as is recommended.
    columns = min(max(config.dim // 8, 1), config.max_preview)
    count = min(max(config.max_vocab // 16, 1), config.max_count)
    return DataSheet(
        formats={
            "setup": Format("byte address of the image, words V, preview columns W, words of the "
                            "full view N", packet="setup"),
            "h": Format(f"element of a hidden vector, {before}; its scale is in the image",
                        packet="batch", least=config.dim, step=config.dim),
            "response": Format("byte of a memory word, the lowest address in lane 0",
                               packet="answer"),
            "request": Format("byte address; number of words", packet="request"),
            "o": Format("index (bit 31: word of the full view); probability, one step = "
                        f"{config.output_scale!r}; logit, signed, one step = "
                        f"{config.logit_scale!r}; log-partition, signed, one step = "
                        f"{config.log_scale!r}", packet="result")},
        framing="A setup holds for a batch of vectors, whose last element has TLAST; its own does "
                f"not matter. A vector is {config.dim} elements, one a beat. For each come "
                f"{'V' if config.whole else 'N'} outputs in the order of their index. Responses "
                "come in the order of the requests, and end with TLAST; a request is 1 to "
                f"{config.burst} words within 4 KiB.",
        latency="from a vector's last beat accepted to its first output valid, with one word and "
                "a memory that answers in the next cycle",
        throughput=f"one vector in about {config.token_cycles(config.max_vocab, columns, count)} "
                   f"cycles with {config.max_vocab} words, {columns} columns in the preview and "
                   f"{count} full views",
        ports=ports_of_causes(config.causes))
