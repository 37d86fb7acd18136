"""The words of a fault about a file that a setting names, and that cannot be read."""

from pathlib import Path

_LONGEST_SHOWN = 300


def found_instead(path: Path, error: OSError | ValueError) -> str:
    """Say what is at `path` in the place of a file that can be read, given what reading it raised.

    What is no path, but the text of a file such as a key, is not repeated.
    """
    shown = str(path)
    if "\n" in shown or "-----BEGIN" in shown or len(shown) > _LONGEST_SHOWN:
        return "a text that is no path, or a very long one"
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return f"none: there is no {shown}"
        case IsADirectoryError():
            return f"a folder: {shown}"
        case PermissionError():
            return f"one that this user may not read: {shown}"
        case UnicodeDecodeError():
            return f"one that is not in UTF-8: {shown}"
        case OSError():
            return f"one that cannot be read ({error.strerror}): {shown}"
    return f"a path that no file can have: {shown!r}"
