"""Certificates of an authority of our own, good ones and bad ones."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import warnings
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_Key = ec.EllipticCurvePrivateKey
_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Signs for `folder`; `file` is what a client has to trust."""

    folder: Path
    key: _Key
    certificate: x509.Certificate

    @property
    def file(self) -> Path:
        return self.folder / "authority.pem"

    def server(
        self, address: str, *, today: datetime.datetime, expired: bool = False, own: bool = False
    ) -> ssl.SSLContext:
        """Return the context of a server for `address`; an `own` one is signed by itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        begins, ends = (
            (today - 9 * _DAY, today - _DAY) if expired else (today - _DAY, today + _DAY)
        )
        signer, issuer = (key, _name(address)) if own else (self.key, self.certificate.subject)
        made = _builder(address, key, issuer, begins, ends)
        place = x509.IPAddress(ipaddress.ip_address(address))
        made = made.add_extension(x509.SubjectAlternativeName([place]), critical=False)
        file = self.folder / f"server-{address}-{expired}-{own}.pem"
        file.write_bytes(_pem(key) + made.sign(signer, hashes.SHA256()).public_bytes(_PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


_PEM = serialization.Encoding.PEM


def authority(folder: Path, today: datetime.datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("the authority of these tests")
    made = _builder("the authority of these tests", key, name, today - 9 * _DAY, today + 9 * _DAY)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    signed = made.sign(key, hashes.SHA256())
    one = Authority(folder=folder, key=key, certificate=signed)
    one.file.write_bytes(signed.public_bytes(_PEM))
    return one


def outdated(context: ssl.SSLContext) -> ssl.SSLContext:
    """Let a server speak TLS 1.0 only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def _builder(
    subject: str, key: _Key, issuer: x509.Name, begins: datetime.datetime, ends: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(key: _Key) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
