"""The one error that the command line shows as a single line."""


class InputError(ValueError):
    """Something that the user gave cannot be used.

    The message is one sentence that names the thing (file, option, value) and one that names the cure. The command
    line prints it without a traceback and exits with status 2; in Python it is an ordinary ``ValueError``.
    """
