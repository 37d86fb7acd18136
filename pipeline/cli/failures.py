"""What ends a command that speaks to a service: a sentence that says what is wrong, and one that says what helps."""


class CommandError(Exception):
    """The command cannot do what it was told to. None of the errors of a service, which are answered over HTTP."""

    exit_code = 1

    def __init__(self, sentence: str, advice: str = "") -> None:
        super().__init__(sentence)
        self.advice = advice

    def lines(self) -> str:
        """Return what to print: the sentence, and below it what helps, if anything is known to."""
        return f"sendoff: {self}\n  {self.advice}" if self.advice else f"sendoff: {self}"


class UsageError(CommandError):
    """What was told makes no sense, whatever the service would say."""

    exit_code = 2


class RefusedError(CommandError):
    """The service answered, and not as was hoped; `status` is the answer's."""

    def __init__(self, status: int, sentence: str, advice: str = "") -> None:
        super().__init__(sentence, advice)
        self.status = status


class UnavailableError(CommandError):
    """Nobody answered, or the service cannot now: the same may work in a moment.

    `wait_s` is what the service asked to wait, if it did.
    """

    def __init__(self, sentence: str, advice: str = "", *, wait_s: float | None = None) -> None:
        super().__init__(sentence, advice)
        self.wait_s = wait_s
