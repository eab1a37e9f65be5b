"""The one error type that is meant for the person who runs a command."""


class BlendingNerfError(ValueError):
    """Something the user gave cannot be used; the message says what, with its value, and what to do."""
