# SPDX-License-Identifier: Apache-2.0
"""Shell words of anything: the lines that the console offers to copy hold names that devices chose.

Plain text is quoted as `shlex` does. Whatever could act on the terminal while it is pasted (a line break
ends the command, an escape sequence rewrites the screen) is written as an escape in `$'…'`, which bash,
zsh and ksh read.
"""

from __future__ import annotations

import shlex


def shell_word(text: str) -> str:
    """One word for a POSIX shell that means exactly `text`; printable, whatever `text` is.

    NUL cannot be in any argument of any program and is left out.
    """
    text = text.replace("\0", "")
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(_escaped(character) for character in text) + "'"


def shell_line(words: list[str]) -> str:
    """A command of these words."""
    return " ".join(shell_word(word) for word in words)


def _escaped(character: str) -> str:
    if character in "\\'":
        return "\\" + character
    if character.isprintable():
        return character
    # Octal escapes of the bytes and not \uNNNN: what that means depends on the locale of the shell.
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))
