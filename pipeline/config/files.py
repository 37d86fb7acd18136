"""The words of a fault about a file that a setting names, and that cannot be read."""

from pathlib import Path


def found_instead(path: Path, error: OSError | ValueError) -> str:
    """Say what is at `path` in the place of a file that can be read, given what reading it raised."""
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return f"none: there is no {path}"
        case IsADirectoryError():
            return f"a folder: {path}"
        case PermissionError():
            return f"one that this user may not read: {path}"
        case UnicodeDecodeError():
            return f"one that is not in UTF-8: {path}"
        case OSError():
            return f"one that cannot be read ({error.strerror}): {path}"
    return f"a path that no file can have: {str(path)!r}"
