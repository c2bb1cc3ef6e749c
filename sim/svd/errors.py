"""What the room refuses."""

__all__ = ["SvdError"]


class SvdError(ValueError):
    """A request that cannot be met, for a reason that the user can mend; one line."""
