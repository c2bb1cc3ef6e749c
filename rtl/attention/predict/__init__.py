"""Keys selected by a cheap prediction of their scores."""
