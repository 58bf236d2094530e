"""What a machine does to a run: no room, no right to write, a disk that fails. Said in words, without secrets."""

import errno
import os
import re

ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
RIGHTS = (errno.EACCES, errno.EPERM, errno.EROFS)
BROKEN = (errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE)
NO_ROOM = ("no space left", "disk is full", "disk quota exceeded", "file too large")
"""What libraries say that keep the number to themselves."""
TODO = {
    **dict.fromkeys(ROOM, "make room"),
    **dict.fromkeys(RIGHTS, "let this user write there, or name another home"),
    **dict.fromkeys(BROKEN, "mend it"),
}

SECRET_NAMES = re.compile(r"PASS(PHRASE|WORD|WD)?\b|PASSPHRASE|PASSWORD|SECRET|TOKEN$|AUTH_STRING|API_KEY|ACCESS_KEY")
"""Environment variables whose values are never told."""
IN_ADDRESS = re.compile(r"(\w://)[^/\s@]+@")
SHORTEST = 4
"""Values below this length hide nothing, and are words of every text."""


def without_secrets(words: str) -> str:
    """A text in which no secret of the environment stands, and no user and password of an address."""
    for name, value in os.environ.items():
        if len(value) >= SHORTEST and SECRET_NAMES.search(name):
            words = words.replace(value, "***")
    return IN_ADDRESS.sub(r"\1***@", words)


def machine_words(error: BaseException) -> str | None:
    """What the machine refused and what to do, where an error or what it came from is the machine's; None otherwise."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        if isinstance(each, OSError) and each.errno in TODO:
            where = f" {each.filename}" if each.filename else ""
            return _told(f"{each.strerror}{where}", TODO[each.errno])
        if any(words in str(each).lower() for words in NO_ROOM):
            return _told(" ".join(str(each).split())[:300], "make room")
        each = each.__cause__ or each.__context__
    return None


def _told(what: str, todo: str) -> str:
    """One line: what was refused, what holds, what to do."""
    return f"this machine refuses: {what}; what was committed stands, {todo} and run again"
