"""What only an HTTP door can refuse; the rest of the tree is in `core.errors`.

Refused
├── CannotCarry     400, what no path of ours can say
├── NotSignedIn
│   └── BadSignature 401
├── MethodRefused   405, facts carry `allow`
├── TooSlow         408
├── KeyReused       409, facts carry `decision_id` of the other request
├── Repeated        409, facts carry `decision_id`
├── TooLarge        413
└── Unsupported     415
"""

from __future__ import annotations

from routing.core.errors import NotSignedIn, Refused


class CannotCarry(Refused):
    code = "unsupported"
    status = 400


class BadSignature(NotSignedIn):
    code = "bad_signature"


class MethodRefused(Refused):
    code = "method_not_allowed"
    status = 405


class TooSlow(Refused):
    code = "too_slow"
    status = 408


class KeyReused(Refused):
    code = "key_reused"
    status = 409


class Repeated(Refused):
    code = "repeated"
    status = 409


class TooLarge(Refused):
    code = "too_large"
    status = 413


class Unsupported(Refused):
    code = "unsupported_media_type"
    status = 415
