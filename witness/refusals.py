"""What a witness says instead of a cosignature (C2SP tlog-witness)."""


class RefusalError(Exception):
    """The checkpoint is not cosigned. The message is for the log's operator."""

    status: int


class MalformedError(RefusalError):
    status = 400


class UntrustedError(RefusalError):
    """No key that is trusted for this origin has signed, or one did not really."""

    status = 403


class UnknownLogError(RefusalError):
    status = 404

    def __init__(self) -> None:
        super().__init__("This witness does not know a log of that origin.")


class StaleError(RefusalError):
    """The log thinks that this witness is somewhere else than it is."""

    status = 409

    def __init__(self, size: int) -> None:
        super().__init__(f"The latest checkpoint here has the size {size}.")
        self.size = size


class InconsistentError(RefusalError):
    """The log does not show that it only grew; it may be unable to."""

    status = 422


class BusyError(RefusalError):
    """The state could not be written. Nothing has happened; try again."""

    status = 503

    def __init__(self) -> None:
        super().__init__("The state cannot be written at the moment.")
