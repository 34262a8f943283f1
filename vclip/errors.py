"""The errors that are the user's to mend: one line each, with what was found, what was expected, what to do."""


class InputError(ValueError):
    """Something that the user gave cannot be used. The command line prints its one line and exits with 2."""


class SpaceError(InputError):
    """Vectors of two embedding spaces met."""

    def __init__(self, found: str, expected: str, where: str):
        super().__init__(
            f"{where}: vectors are in the space '{found}', expected '{expected}'; use the same encoders on both sides"
        )
