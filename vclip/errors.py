"""Errors that the user can correct. Each message is one line: what was found, what was expected and what to do."""


class InputError(ValueError):
    """An input that cannot be used. The command line prints the message and exits with 2."""


class SpaceError(InputError):
    """Vectors of two different embedding spaces were mixed."""

    def __init__(self, found: str, expected: str, where: str):
        super().__init__(
            f"{where}: vectors are in the space '{found}', expected '{expected}'; use the same encoders on both sides"
        )
