"""What commands refuse."""

__all__ = ["RequestError"]


class RequestError(ValueError):
    """A request that cannot be met, for a reason that the user can mend; one line."""
