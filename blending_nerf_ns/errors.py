"""The errors and warnings that are meant for the person who runs a command."""


class BlendingNerfError(ValueError):
    """Something the user gave cannot be used; the message says what, with its value, and what to do."""


class NothingFound(BlendingNerfError):
    """No surface reaches the region's threshold; the message has the highest probability that was met."""


class GuidanceWarning(UserWarning):
    """A prompt that the guide will not read as it was meant."""
