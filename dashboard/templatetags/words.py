"""Status as shape and word, time as words with the absolute behind them, roles."""

from __future__ import annotations

from datetime import UTC, datetime

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from dashboard import cards
from routing.core.rights import Actor
from routing.core.values import EnvironmentName

register = template.Library()

_CIRCLE = '<circle cx="10" cy="10" r="8"'
_HOLLOW = ' fill="none" stroke-width="2.6"'
# Drawn, not typed: a font that lacks a glyph would take the shape from the status.
SHAPES = {
    "full": f"{_CIRCLE}/>",
    "hollow": f"{_CIRCLE}{_HOLLOW}/>",
    "dotted": f'{_CIRCLE}{_HOLLOW} stroke-dasharray="3.2 3.1"/>',
    "half": f'{_CIRCLE}{_HOLLOW}/><path d="M10 2a8 8 0 0 0 0 16z" stroke="none"/>',
    "diamond": '<path d="M10 1 19 10 10 19 1 10Z" stroke="none"/>',
    "triangle": '<path d="M10 1.5 19.5 18.5H.5Z" stroke="none"/>',
    "bars": '<path d="M4 2h4v16H4zM12 2h4v16h-4z" stroke="none"/>',
}
SHAPE_OF = {
    "healthy": "full",
    "on": "full",
    "done": "full",
    "proven": "full",
    "partly": "half",
    "off": "hollow",
    "not_configured": "hollow",
    "degraded": "diamond",
    "refused": "diamond",
    "unhealthy": "triangle",
    "failed": "triangle",
    "maintenance": "bars",
    "unknown": "dotted",
    "unproven": "dotted",
}


@register.simple_tag
def shape(status: str) -> SafeString:
    """Draw the shape of a status; a word without one is drawn as unknown."""
    drawn = SHAPES[SHAPE_OF.get(str(status), "dotted")]
    return mark_safe(  # noqa: S308  (constants of this module only)
        f'<svg class="shape" viewBox="0 0 20 20" aria-hidden="true">{drawn}</svg>'
    )


@register.simple_tag
def status(word: str, text: str = "") -> SafeString:
    """Write a status as its shape and word; `text` in place of the word where it says more."""
    return format_html('<span class="pill {}">{}{}</span>', word, shape(word), text or word)


@register.simple_tag
def ago(at: datetime, now: datetime) -> SafeString:
    """Write a time in words that go on counting, with the absolute one behind them."""
    utc = at.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{}" data-ago>{}</time>',
        f"{utc:%Y-%m-%dT%H:%M:%S}Z",
        cards.absolute(at),
        cards.ago(at, now),
    )


@register.simple_tag
def left(at: datetime, now: datetime) -> SafeString:
    """Write how long it is until `at` in words that go on counting down."""
    utc = at.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{}" data-left>{}</time>',
        f"{utc:%Y-%m-%dT%H:%M:%S}Z",
        cards.absolute(at),
        cards.left(at, now),
    )


@register.filter
def ticked(text: str) -> SafeString:
    """Write what stands between backticks as code; everything is escaped."""
    pieces = str(text).split("`")
    if len(pieces) % 2 == 0:
        return format_html("{}", text)
    return format_html_join(
        "",
        "{}{}{}",
        (
            (mark_safe("<code>"), piece, mark_safe("</code>")) if n % 2 else ("", piece, "")
            for n, piece in enumerate(pieces)
        ),
    )


@register.filter
def absolute(at: datetime) -> str:
    """Write a time to the second with its zone."""
    return cards.absolute(at)


@register.filter
def clock(at: datetime) -> str:
    """Write the time of day with its zone."""
    return f"{at.astimezone(UTC):%H:%M} UTC"


@register.filter
def role_in(actor: Actor, environment: EnvironmentName) -> str:
    """Name the role of `actor` in `environment`."""
    return str(actor.role(environment) or "")
