"""The one error that is shown to a user as a single line, without a traceback."""


class UserError(Exception):
    """A mistake in the user's input: names the file, row or key, what was found and what was expected."""
