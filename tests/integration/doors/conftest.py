"""The doors on a real socket over a scripted router, their tokens in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path as Folder

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from routing.access import keys
from routing.access.tokens import TokenFacts
from routing.api import door
from routing.api.booking import Booking, Denial, Fact
from routing.api.wire import App
from routing.core.values import Operation
from tests.integration.runs.served import Served, now, serve, sources
from tests.unit import stage as stages
from tests.unit.api import calls
from tests.unit.stage import Stage

SERVER_KEY = b"k" * 32
HOUR = timedelta(hours=1)


@dataclass(slots=True)
class Tokens:
    """Tokens in force by secret; each has an access key of the same name."""

    by_secret: dict[str, TokenFacts] = field(default_factory=dict)
    booked: list[Fact] = field(default_factory=list)
    late: timedelta = timedelta(0)  # how far the server's clock is ahead

    def make(self, name: str, *, emergency: bool = False) -> TokenFacts:
        made = calls.token(
            name,
            emergency=emergency,
            operations=frozenset(Operation) - {Operation.EMERGENCY},
            expires_at=now() + HOUR,
            access_key_id=f"HYO{name.upper()}",
            generation=1,
        )
        self.by_secret[name] = made
        return made

    def find(self, secret: str, at: datetime) -> TokenFacts | None:
        return self.by_secret.get(secret)

    def find_key(self, id: str, at: datetime) -> tuple[TokenFacts, str] | None:
        found = next((t for t in self.by_secret.values() if t.access_key_id == id), None)
        return (found, self.secret(found)) if found else None

    def secret(self, token: TokenFacts) -> str:
        return keys.secret(SERVER_KEY, token_id=token.id, generation=token.generation)

    def clock(self) -> datetime:
        return now() + self.late

    def denials(self) -> list[Denial]:
        return [fact for fact in self.booked if isinstance(fact, Denial)]


@pytest.fixture
def issued() -> Tokens:
    made = Tokens()
    made.make("plain")
    made.make("urgent", emergency=True)
    return made


@pytest.fixture
def stage(tmp_path: Folder) -> Iterator[Stage]:
    with stages.raised(tmp_path) as made:
        yield made


@pytest.fixture
def app(stage: Stage, issued: Tokens) -> Iterator[App]:
    booking = Booking(write=issued.booked.append)
    yield door.build(
        router=lambda: stage.router,
        find=issued.find,
        find_key=issued.find_key,
        clock=issued.clock,
        hosts=["127.0.0.1"],
        sources=lambda: sources(stage),
        booking=booking,
        models=("hybridops", "house-model"),
    )
    booking.close()


@pytest.fixture
def served(app: App) -> Iterator[Served]:
    yield from serve(app)


@pytest.fixture
def certificate(tmp_path: Folder) -> Folder:
    """A certificate of 127.0.0.1 that nobody but its holder trusts, its key beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.IPAddress(IPv4Address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - HOUR)
        .not_valid_after(now() + HOUR)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "certificate.pem"
    file.write_bytes(made.public_bytes(Encoding.PEM))
    plain = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.with_suffix(".key").write_bytes(key.private_bytes(*plain))
    return file


@pytest.fixture
def served_safely(app: App, certificate: Folder) -> Iterator[Served]:
    """The same doors behind TLS."""
    key = str(certificate.with_suffix(".key"))
    yield from serve(app, ssl_certfile=str(certificate), ssl_keyfile=key)
