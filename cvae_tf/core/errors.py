"""The exceptions that scripts turn into a line on the screen."""


class UserError(Exception):
    """A mistake that the user can correct; the text says what was wrong, where, and what to do."""


class MissingPathError(UserError):
    """There is nothing at a path."""
