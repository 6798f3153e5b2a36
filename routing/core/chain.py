"""The arithmetic of the audit trail: canonical bytes, the link between entries, strict parsing.

Canonical form: RFC 8785 without floats and with ASCII keys only, so that sorting by code point
and by UTF-16 unit agree. Nothing here normalises text: what is stored is what is hashed.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, overload

from routing.core.errors import Invalid

Json: TypeAlias = "bool | int | str | Sequence[Json] | Mapping[str, Json] | None"

LABEL = b"hybridops-audit/1"
MAX_INT = 2**53 - 1  # beyond it, readers that know only doubles disagree
MAX_DEPTH = 32
MAX_NODES = 10_000
HASH_BYTES = 32

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]*))(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_STRING = re.compile(r'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\x00-\x1f]*)*"')
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORD = re.compile(r"[A-Za-z]+")
_WORDS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None}
_LEAVES = frozenset({str, bool, type(None)})
_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False
).encode


def canonical(value: Json) -> bytes:
    """Return the RFC 8785 bytes of `value`.

    Raises Invalid for floats, integers beyond 2^53-1, keys that are not ASCII text, lone
    surrogates, nesting deeper than 32 and anything that is not JSON, naming the place.
    """
    if not _is_plain(value):
        return _encode(_plain(value, "$", MAX_DEPTH)).encode()
    try:
        return _encode(value).encode()
    except UnicodeEncodeError:  # half a surrogate pair; which one is told by who looks at each
        return _encode(_plain(value, "$", MAX_DEPTH)).encode()


def _is_plain(value: object) -> bool:
    """Tell at little cost whether `value` can be written as it is, but for surrogates.

    False only means that it must be looked at more closely, for each decision costs this.
    """
    level: list[object] = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[object] = []
        for node in level:
            kind = type(node)
            if kind in _LEAVES:
                continue
            look = _LOOKS.get(kind)
            if look is None or not look(node, below):
                return False
        if not below:
            return True
        level = below
    return False


def _plain_keys(node: dict[Any, Any], below: list[object]) -> bool:
    below += node.values()
    try:
        return all(map(str.isascii, node))
    except TypeError:
        return False


def _plain_items(node: Sequence[object], below: list[object]) -> bool:
    below += node
    return True


def _plain_number(node: int, _: list[object]) -> bool:
    return -MAX_INT <= node <= MAX_INT


_LOOKS: Mapping[type, Callable[[Any, list[object]], bool]] = {
    dict: _plain_keys,
    list: _plain_items,
    tuple: _plain_items,
    int: _plain_number,
}


def _plain(value: object, where: str, depth: int) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, where)
    if isinstance(value, int):
        if abs(value) > MAX_INT:
            raise Invalid(f"The integer at {where} is beyond 2^53-1; write it as text.")
        return int(value)
    if not isinstance(value, Mapping | list | tuple):
        raise Invalid(
            f"The value at {where} is a {type(value).__name__}; an entry holds text, integers, "
            "booleans, null, lists and objects. Write fractions in a smaller unit."
        )
    if depth == 0:
        raise Invalid(f"The value at {where} is nested deeper than {MAX_DEPTH}; flatten it.")
    if isinstance(value, Mapping):
        return {
            _key(key, where): _plain(item, f"{where}.{key}", depth - 1)
            for key, item in value.items()
        }
    return [_plain(item, f"{where}[{n}]", depth - 1) for n, item in enumerate(value)]


def _key(key: object, where: str) -> str:
    if not isinstance(key, str) or not key.isascii():
        raise Invalid(f"The key {key!r} at {where} is not ASCII text; rename it.")
    return str(key)


def _text(text: str, where: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Invalid(
                f"The text at {where} holds half of a surrogate pair; mend it."
            ) from None
    return str(text)


def genesis(log_id: bytes) -> bytes:
    """Return the `prev` of the first entry of the log with that random 32-byte id."""
    if len(log_id) != HASH_BYTES:
        raise Invalid(f"A log id has {HASH_BYTES} bytes; this one has {len(log_id)}.")
    return hashlib.sha256(LABEL + b"/genesis\x00" + log_id).digest()


def link(stream: str, seq: int, prev: bytes, body: bytes) -> bytes:
    """Return the hash (32 bytes) of entry `seq` of `stream`, which follows the hash `prev`.

    SHA-256 over label, 0x00, u32 length of the stream's name, the name, u64 `seq`, `prev`,
    u32 length of the body, the body; all numbers big-endian.
    """
    if len(prev) != HASH_BYTES:
        raise Invalid(f"A hash has {HASH_BYTES} bytes; the predecessor's has {len(prev)}.")
    place = seq.to_bytes(8, "big") + prev + len(body).to_bytes(4, "big")
    return hashlib.sha256(_head(stream) + place + body).digest()


@functools.lru_cache(maxsize=64)
def _head(stream: str) -> bytes:
    name = stream.encode()
    return LABEL + b"\x00" + len(name).to_bytes(4, "big") + name


def read(body: bytes) -> Json:
    """Return what the canonical bytes `body` say.

    Raises Invalid unless writing the value again gives the same bytes, which no document with
    duplicate keys, floats or other spellings survives.
    """
    try:
        value: Json = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise Invalid("The stored text is not JSON.") from None
    if canonical(value) != body:
        raise Invalid("The stored text is not in canonical form.")
    return value


@overload
def strict_parse(
    data: bytes, *, max_bytes: int = ..., max_nodes: int = ..., floats: Literal[False] = ...
) -> Json: ...
@overload
def strict_parse(
    data: bytes, *, max_bytes: int = ..., max_nodes: int = ..., floats: bool
) -> Any: ...
def strict_parse(
    data: bytes,
    *,
    max_bytes: int = 1_048_576,
    max_nodes: int = MAX_NODES,
    floats: bool = False,
) -> Any:
    """Return the JSON document in `data` (UTF-8, at most `max_bytes`, at most 32 deep).

    `max_nodes` bounds its values, keys left out: the work that a document can make.

    Raises Invalid, naming line and column, for duplicate keys, NaN and Infinity, fractions
    (unless `floats`; never one that overflows), integers beyond 2^53-1, lone surrogates, a
    byte-order mark and everything that RFC 8259 does not know.
    """
    if len(data) > max_bytes:
        raise Invalid(f"The document has {len(data)} bytes; at most {max_bytes} are read.")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"The document is not UTF-8: byte {error.start + 1} cannot stand.") from None
    found = _quickly(text, max_nodes=max_nodes, floats=floats)
    if found is not _UNSURE:
        return found
    document = _Document(text=text, floats=floats, nodes=iter(range(max_nodes)))
    value, at = document.value(document.skip(0), MAX_DEPTH)
    end = document.skip(at)
    if end != len(text):
        raise document.wrong(end, "something follows the end of the document")
    return value


def _quickly(text: str, *, max_nodes: int, floats: bool) -> Any:
    """Return what the C parser reads in a text that is surely within the rules, else _UNSURE.

    Every request's body passes here, and the careful reader costs fifty times as much. Whatever
    might break a rule is left to it, also to say where.
    """
    # Each value but the first one follows a comma, a colon or a bracket.
    most = text.count(",") + text.count(":") + text.count("[") + 1
    if most > max_nodes or _DOUBTFUL.search(text):
        return _UNSURE
    try:
        found = (_WITH_FLOATS if floats else _WITHOUT_FLOATS).decode(text)
    except (ValueError, RecursionError):
        return _UNSURE
    if text.count("{") + text.count("[") > MAX_DEPTH and _is_deeper(found, MAX_DEPTH):
        return _UNSURE
    return found


def _is_deeper(value: object, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_is_deeper(one, depth - 1) for one in inner)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("too large")
    return number


def _none(text: str) -> Any:
    raise ValueError(text)


_UNSURE = object()
# An integer that may be too long, half of a surrogate pair.
_DOUBTFUL = re.compile(r"[0-9]{16}|\\u[dD][89a-fA-F]")
_WITH_FLOATS = json.JSONDecoder(object_pairs_hook=_once, parse_float=_finite, parse_constant=_none)
_WITHOUT_FLOATS = json.JSONDecoder(
    object_pairs_hook=_once, parse_float=_none, parse_constant=_none
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    """A text being read; every method takes an index into it and returns the one behind."""

    text: str
    floats: bool
    nodes: Iterator[int]  # one is taken for every value

    def wrong(self, at: int, what: str) -> Invalid:
        line = self.text.count("\n", 0, at) + 1
        column = at - (self.text.rfind("\n", 0, at) + 1) + 1
        return Invalid(
            f"The JSON is refused at line {line}, column {column}: {what}.",
            line=line,
            column=column,
            what=what,
        )

    def skip(self, at: int) -> int:
        match = _SPACE.match(self.text, at)
        return match.end() if match else at

    def value(self, at: int, depth: int) -> tuple[Any, int]:
        if next(self.nodes, None) is None:
            raise self.wrong(at, "the document holds too many values")
        first = self.text[at : at + 1]
        if first in ("{", "["):
            if depth == 0:
                raise self.wrong(at, f"it is nested deeper than {MAX_DEPTH}")
            return self.members(at, depth) if first == "{" else self.items(at, depth)
        if first == '"':
            return self.string(at)
        match = _NUMBER.match(self.text, at)
        return self.number(at, match) if match else self.word(at)

    def members(self, at: int, depth: int) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        at = self.skip(at + 1)
        if self.text[at : at + 1] == "}":
            return found, at + 1
        while True:
            if self.text[at : at + 1] != '"':
                raise self.wrong(at, "a key in double quotes must stand here")
            key, end = self.string(at)
            if key in found:
                raise self.wrong(at, f"the key {key[:80]!r} stands twice in one object")
            colon = self.skip(end)
            if self.text[colon : colon + 1] != ":":
                raise self.wrong(colon, "a colon must follow the key")
            found[key], at = self.value(self.skip(colon + 1), depth - 1)
            at, more = self.next(at, "}")
            if not more:
                return found, at

    def items(self, at: int, depth: int) -> tuple[list[Any], int]:
        found: list[Any] = []
        at = self.skip(at + 1)
        if self.text[at : at + 1] == "]":
            return found, at + 1
        while True:
            item, at = self.value(at, depth - 1)
            found.append(item)
            at, more = self.next(at, "]")
            if not more:
                return found, at

    def next(self, at: int, closing: str) -> tuple[int, bool]:
        at = self.skip(at)
        if self.text[at : at + 1] == closing:
            return at + 1, False
        if self.text[at : at + 1] != ",":
            raise self.wrong(at, f"a comma or {closing!r} must stand here")
        return self.skip(at + 1), True

    def string(self, at: int) -> tuple[str, int]:
        match = _STRING.match(self.text, at)
        if match is None:
            raise self.wrong(
                at, "this string does not end, or holds a control character or a wrong escape"
            )
        token = match.group()
        if "\\" not in token:  # UTF-8 that was decoded holds no surrogate
            return token[1:-1], match.end()
        text: str = json.loads(token)
        if _SURROGATE.search(text):
            raise self.wrong(at, "this string holds half of a surrogate pair")
        return text, match.end()

    def number(self, at: int, match: re.Match[str]) -> tuple[int | float, int]:
        whole, fraction, exponent = match.groups()
        if fraction is None and exponent is None:
            if len(whole) > 17 or abs(int(whole)) > MAX_INT:
                raise self.wrong(at, "this integer is beyond 2^53-1")
            return int(whole), match.end()
        if not self.floats:
            raise self.wrong(at, "a fraction or exponent; only integers may stand here")
        number = float(match.group())
        if not math.isfinite(number):
            raise self.wrong(at, "this number is too large")
        return number, match.end()

    def word(self, at: int) -> tuple[bool | None, int]:
        match = _WORD.match(self.text, at)
        if match is None or match.group() not in _WORDS:
            raise self.wrong(at, "a value must stand here")
        return _WORDS[match.group()], match.end()
