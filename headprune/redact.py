"""Keys and passwords taken out of a text before it is shown or stored."""

from __future__ import annotations

import os
import re
from urllib.parse import quote

HIDDEN = "***"
"""In the place of a key."""
SHORTEST = 8
"""A shorter value is no key, and stands in too many other words to be taken out of a text."""

_NAMES_A_KEY = re.compile(r"KEY|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL", re.IGNORECASE)
_NAMES_A_PLACE = re.compile(r"_(PATH|FILE|DIR|HOME|SOCK|ENV)$", re.IGNORECASE)
# Keys that no variable of ours holds: by their look. Each repeats a bounded number of times, for hostile text as well.
_LOOKS = tuple(
    (re.compile(look, re.IGNORECASE), rf"\g<1>{HIDDEN}")
    for look in (
        r"(\bauthorization['\"]?\s{0,9}[:=]\s{0,9}(?:b?['\"])?(?:(?:bearer|basic|token)\s{1,9})?)[^\s'\",;}]{1,4096}",
        # A ring bearer is no key.
        r"(\bbearer\s{1,9})(?=[^\s'\"]{0,63}\d|[^\s'\"]{20})[\w.~+/=-]{8,4096}",
        r"(\b[a-z][a-z0-9+.-]{0,20}://)[^/\s@'\"]{1,512}(?=@)",
        r"([?&](?:[\w-]{0,20}(?:key|token|secret|password|signature)|sig)=)[^&\s'\"#]{1,4096}",
        r"()\bsk-[\w-]{16,512}",
        r"()\bhf_[a-z0-9]{16,128}",
    )
)


def redacted(text: str) -> str:
    """`text` with `***` for what must not be read by others.

    That is the value of each environment variable whose name speaks of a key, token, secret, password or credential
    (from 8 characters on), as it is and as it stands in a URL; what follows `Authorization:` or `Bearer`; user and
    password of a URL, and its parameters of such names; and what begins as OpenAI's (`sk-`) and Hugging Face's (`hf_`)
    keys do.
    """
    for key in _keys():
        text = text.replace(key, HIDDEN)
    for look, hidden in _LOOKS:
        text = look.sub(hidden, text)
    return text


def _keys() -> list[str]:
    """The keys in the environment as of now, the longest first: one may hold another."""
    held = {
        value.strip()
        for name, value in os.environ.items()
        if _NAMES_A_KEY.search(name) and not _NAMES_A_PLACE.search(name)
    }
    keys = {key for key in held if len(key) >= SHORTEST}
    return sorted(keys | {quote(key, safe="") for key in keys}, key=len, reverse=True)
