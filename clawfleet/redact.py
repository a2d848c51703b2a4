"""Take secrets out of whatever is shown: configuration, environment files, launch agents.

A secret is replaced by ``‹secret 3f2a›``: a short keyed hash, so that a change of the secret is
seen and the secret is not. The key (`salt`) is drawn anew for each run by the caller, which makes
the hash worthless outside the run.

What counts as a secret is judged by the name of its key (as OpenClaw itself does, and wider), by
its own look (``sk-…``, ``Bearer …``, a password in a URL) and by `known`: secrets the caller holds,
which are replaced wherever they stand. References (``${ENV}``, ``{source: "env", …}``) and the
markers that OpenClaw uses in the place of a key (``ollama-local``) stay readable.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Any

from clawfleet.json5 import COMMENT, Container, Entry, Json5Error, Scalar, parse
from clawfleet.json5_edit import Style, render

MARKERS = frozenset(
    {"", "ollama", "ollama-local", "custom-local", "secretref-managed", "__OPENCLAW_REDACTED__"}
)
"""Values in the place of a secret that are none."""

_OPENING = "‹secret"
_SHOWN = re.compile(r"‹secret [0-9a-f]+›")
_REFERENCE = re.compile(r"(?:(?:Bearer|Basic) )?\$\{[A-Z_][A-Z0-9_]*\}")
_SECRET_KEY = re.compile(
    r"token|secret|password|passwd|passphrase|apikey|accesskey|privatekey|authorization|cookie"
    r"|credential|serviceaccount"
)
_SECRET_WORD = re.compile(r"(?:^| )(?:access|refresh|bearer|jwt|pin|pwd|pass|pat)$")
_KEY_WORD = re.compile(r"(?<!session)(?<!public)(?<!primary)(?<!cache)(?<!idempotency) key$")
_PLAIN_KEY = re.compile(
    r"(?: |token|secret|password|key)(?:file|path|dir|env|mode|type|limit|count|budget|ttl|provider"
    r"|providers|source|name|url|max|seconds|minutes|ms|at|expires|profile|profiles|enabled"
    r"|strategy|usage|ref|allow)$"
)
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
_REFERENCE_SOURCES = ("env", "file", "exec")

_LOOKS = re.compile(
    r"""
    (?P<keep>\b(?:Bearer|Basic|Token)\s+)(?!\$\{)[A-Za-z0-9._~+/=:-]{6,}
    | (?P<scheme>\b[a-z][a-z0-9+.-]{0,20}://)(?!\$\{)[^\s/@:'"]*:[^\s/@'"]+(?=@)
    | (?P<web>\bhttps?://)(?!\$\{)[^\s/@'"]+(?=@)
    | (?P<hook>hooks\.slack\.com/services/|/api/webhooks/\d+/)[^\s'"]+
    | (?P<query>[?&](?:[\w-]{0,64}(?:token|key|secret|password|signature)|sig|auth)=)
      (?!\$\{)[^\s&\#'"]+
    | (?P<option>(?<![\w-])--?[\w-]{0,64}(?:token|api-?key|secret|password|passphrase)[= ])
      (?![-$])[^\s'"<]+
    | \b(?:sk|pk|rk|gsk|xai|hf|npm|glpat|ghp|gho|ghu|ghs|ghr|github_pat|pplx|r8|tvly|sgp)[-_]
      [A-Za-z0-9_-]{8,}
    | \bxox[a-z]-[A-Za-z0-9-]{8,} | \bxapp-[A-Za-z0-9-]{8,}
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b | \bAIza[A-Za-z0-9_-]{20,} | \bya29\.[A-Za-z0-9_-]{10,}
    | \beyJ[A-Za-z0-9_-]{8,2048}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?
    | \b\d{6,12}:[A-Za-z0-9_-]{30,}
    | \b[0-9a-f]{32}\.[A-Za-z0-9]{12,}
    | \b[MNO][A-Za-z0-9_-]{22,40}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{25,}
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----[\s\S]*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)
    """,
    re.VERBOSE,
)
_RUN = re.compile(r"[A-Za-z0-9]{12}")
_ENVIRONMENT = re.compile(
    r"^(?P<lead>[ \t]*(?:export[ \t]+)?(?P<key>[A-Za-z_]\w*)=)"
    r"""(?P<value>"(?:[^"\\]|\\[\s\S])*"|'[^']*'(?:\\''[^']*')*|[^\r\n]*)(?=\r?$)""",
    re.MULTILINE,
)
# `Unrecognized key: "fooBar"` is OpenClaw's own explanation, and no secret.
_KEY = re.compile(
    r"""(?P<quote>["']?)(?<![\w.-])(?<!nrecognized[ ])(?P<key>\w[\w.-]*+)(?P=quote)\s*[=:]\s*"""
)
_VALUE = re.compile(
    r""""(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'"""
    r"""|(?:(?:Bearer|Basic)[ ])?(?:‹secret[ ][0-9a-f]+›|\$\{[A-Z_][A-Z0-9_]*\}|[^\s"',;}\])<])+"""
)
_PLIST = re.compile(r"(?P<lead><key>(?P<key>[^<]*)</key>\s*<(?:string|data)>)(?P<value>[^<]*)")


def text(source: str, *, salt: str, known: Iterable[str] = (), digits: int = 4) -> str:
    """The text without its secrets: JSON5 with its comments, or any other text by lines.

    `known` are secrets to be replaced wherever they stand; `digits` is the length of the hash.
    The result is for reading: it need not be JSON5.
    """
    redactor = _Redactor(salt, known, digits)
    try:
        root = parse(source)
    except Json5Error:
        return redactor.lines(source)
    if isinstance(root, Scalar):
        return redactor.lines(source)
    return redactor.document(source, root)


def value(source: Any, *, salt: str, known: Iterable[str] = (), digits: int = 4) -> Any:
    """The same value (dicts, lists, scalars) with its secrets replaced."""
    return _Redactor(salt, known, digits).value(source, (), secret=False)


def is_secret_key(path: tuple[str, ...]) -> bool:
    """Whether the last of the object keys that lead to a value names a secret."""
    words = " ".join(part for part in _WORDS.split(path[-1]) if part).lower()
    if words == "key":
        return "profiles" in path[:-1]
    if _PLAIN_KEY.search(words):
        return False
    return bool(
        _SECRET_KEY.search(words.replace(" ", ""))
        or _SECRET_WORD.search(words)
        or _KEY_WORD.search(words)
    )


def looks_secret(text: str) -> bool:
    """Whether a text, or a part of it, is a secret by its look, and hardly anything else.

    Stricter than what is hidden when it is shown: ``sk-office-mac`` may be a name.
    """
    return any(
        next(filter(None, match.groups()), "") or _RUN.search(match[0])
        for match in _LOOKS.finditer(text)
    )


def _is_amount(key: str) -> bool:
    """Whether a number under the key counts something (``maxTokens``)."""
    return key.lower().endswith("tokens")


class _Redactor:
    def __init__(self, salt: str, known: Iterable[str], digits: int) -> None:
        self._salt = salt.encode()
        self._digits = digits
        longest_first = sorted({secret for secret in known if secret}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def _hash(self, secret: str) -> str:
        data = secret.encode("utf-8", "surrogatepass")
        digest = hmac.new(self._salt, data, hashlib.sha256).hexdigest()
        return f"{_OPENING} {digest[: self._digits]}›"

    def _whole(self, secret: str) -> str:
        """A value that stands in the place of a secret."""
        if secret in MARKERS or _REFERENCE.fullmatch(secret) or _SHOWN.fullmatch(secret):
            return secret
        scheme, blank, rest = secret.partition(" ")
        if scheme in ("Bearer", "Basic") and rest:
            return f"{scheme}{blank}{self._whole(rest)}"
        return self._hash(secret)

    def _parts(self, source: str) -> str:
        """A text of which only parts may be secret, told by their look."""

        def hide(match: re.Match[str]) -> str:
            if _OPENING in match[0]:
                return match[0]
            keep = next(filter(None, match.groups()), "")
            return keep + self._whole(match[0][len(keep) :])

        source = self._known.sub(lambda match: self._hash(match[0]), source)
        return _LOOKS.sub(hide, source)

    def value(self, source: Any, path: tuple[str, ...], *, secret: bool) -> Any:
        """`secret`: the value stands under a key that names one."""
        if isinstance(source, dict):
            if source.get("source") in _REFERENCE_SOURCES:
                secret = False
            hidden: dict[Any, Any] = {}
            for key, part in source.items():
                inner = (*path, str(key))
                hidden[self._parts(str(key))] = self.value(
                    part, inner, secret=secret or is_secret_key(inner)
                )
            return hidden
        if isinstance(source, list | tuple):
            return [self.value(part, path, secret=secret) for part in source]
        if isinstance(source, str):
            return self._whole(source) if secret else self._parts(source)
        if isinstance(source, bool) or source is None or not path:
            return source
        # Numbers below a secret key are mostly counts and times; its own number is a PIN.
        return (
            self._hash(str(source)) if is_secret_key(path) and not _is_amount(path[-1]) else source
        )

    def document(self, source: str, root: Container) -> str:
        """JSON5 text with only the secret values replaced, comments read as lines."""
        out: list[str] = []
        at = 0
        for start, end, shown in self._spots(source, root, (), secret=False):
            out += [self._comments(source[at:start]), shown]
            at = end
        shown = "".join(out) + self._comments(source[at:])
        # A known secret may run over several values, where quotes inside it were not escaped.
        return self._known.sub(lambda match: self._hash(match[0]), shown)

    def _comments(self, gap: str) -> str:
        """What stands between values: brackets, keys and comments."""
        return COMMENT.sub(lambda match: self.lines(match[0]), gap)

    def _spots(
        self, source: str, node: Container, path: tuple[str, ...], *, secret: bool
    ) -> list[tuple[int, int, str]]:
        """Keys and scalars in their order: where they stand and what is shown there."""
        spots: list[tuple[int, int, str]] = []
        if any(_is_reference_source(entry) for entry in node.entries):
            secret = False
        for entry in node.entries:
            inner, hidden = path, secret
            if entry.key is not None:
                inner = (*path, entry.key)
                hidden = secret or is_secret_key(inner)
                written = source[entry.start : entry.key_end]
                spots.append((entry.start, entry.key_end, self._parts(written)))
            part = entry.value
            if isinstance(part, Container):
                spots += self._spots(source, part, inner, secret=hidden)
                continue
            written = source[part.start : part.end]
            shown = self.value(part.value, inner, secret=hidden)
            if shown is not part.value and shown != part.value:
                quote = written[0] if written[0] in "\"'" else '"'
                written = render(shown, Style(quote=quote), None)
            spots.append((part.start, part.end, written))
        return spots

    def lines(self, source: str) -> str:
        """Any text: assignments, plist members and command lines by key, the rest by look."""

        def hide(match: re.Match[str]) -> str:
            if not self._names_secret(match["key"]):
                return match[0]
            return match["lead"] + self._quoted(match["value"])

        # By look first: a private key runs over several lines.
        source = self._parts(source)
        source = _ENVIRONMENT.sub(hide, _PLIST.sub(hide, source))
        out: list[str] = []
        at = 0
        for key in _KEY.finditer(source):
            if key.start() < at or not self._names_secret(key["key"]):
                continue
            if value := _VALUE.match(source, key.end()):
                out += [source[at : key.end()], self._quoted(value[0])]
                at = value.end()
        return "".join(out) + source[at:]

    def _names_secret(self, key: str) -> bool:
        # Which object a "key" belongs to is not known in a line, so it is taken for a secret.
        return is_secret_key(("profiles", key))

    def _quoted(self, value: str) -> str:
        quote = value[0] if len(value) > 1 and value[0] in "\"'" and value[0] == value[-1] else ""
        inner = value[1:-1] if quote else value
        return f"{quote}{self._whole(inner)}{quote}"


def _is_reference_source(entry: Entry) -> bool:
    value = entry.value
    return entry.key == "source" and isinstance(value, Scalar) and value.value in _REFERENCE_SOURCES
