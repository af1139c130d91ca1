"""A NUL in a text, which PostgreSQL cannot keep: ␀ (U+2400) and 0 stand for it, and ␀␀ for a ␀ of the store's own."""

SIGN = "\u2400"
# The same on MySQL's side, of a utf8mb4 text.
IN_STORE = "REPLACE(REPLACE({c}, _utf8mb4 x'E29080', _utf8mb4 x'E29080E29080'), _utf8mb4 x'00', _utf8mb4 x'E2908030')"


def escape_nul(text: str) -> str:
    return text.replace(SIGN, SIGN + SIGN).replace("\x00", SIGN + "0")


def unescape_nul(text: str) -> str:
    """What the store has: the inverse of `escape_nul`."""
    return SIGN.join(part.replace(SIGN + "0", "\x00") for part in text.split(SIGN + SIGN))
