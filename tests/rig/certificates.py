"""
Every key and certificate of a cluster, made anew for each: nothing secret lies in the project.

Two authorities, because Kueue writes its own into each webhook (rig.md): one for the servers that
clients talk to, one for the webhooks that the API server talks to.
"""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "Pair", "write_signing_key"]

#: Kueue's rotator wants more than 90 days.
LIFE = datetime.timedelta(days=365)
LOOPBACK = (x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost"))
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM files ``tls.crt`` and ``tls.key`` in one folder."""

    folder: Path

    @property
    def certificate(self) -> Path:
        """The certificate's file."""
        return self.folder / "tls.crt"

    @property
    def key(self) -> Path:
        """The key's file."""
        return self.folder / "tls.key"


class Authority:
    """
    A certificate authority that lives as long as the object.

    :param names: DNS names of the authority's own certificate; Kueue wants ``kueue-ca``.
    :param rsa_key: an RSA key instead of a faster one on a curve; Kueue reads no other.
    """

    def __init__(self, name: str, names: tuple[str, ...] = (), rsa_key: bool = False) -> None:
        self._key: Key = rsa.generate_private_key(65537, 2048) if rsa_key else _curve_key()
        self._name = _subject(name)
        builder = _builder(self._name, self._name, self._key)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        builder = builder.add_extension(_usage(ca=True), critical=True)
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), False
        )
        if names:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(one) for one in names])
            builder = builder.add_extension(alternatives, critical=False)
        self._certificate = builder.sign(self._key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        """The authority's certificate."""
        return self._certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """Its key, in the traditional form (PKCS#1 for RSA), the only one that Kueue reads."""
        return _key_pem(self._key)

    def write(self, file: Path) -> Path:
        """Write the authority's certificate into a file."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(self.pem)
        return file

    def pair(self, folder: Path, name: str, *names: str) -> Pair:
        """Issue a server certificate for 127.0.0.1, localhost and more DNS names."""
        key = _curve_key()
        builder = _builder(_subject(name), self._name, key)
        alternatives = [*LOOPBACK, *(x509.DNSName(one) for one in names)]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=False, path_length=None), critical=True
        )
        builder = builder.add_extension(_usage(ca=False), critical=True)
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        pair = Pair(folder)
        folder.mkdir(parents=True, exist_ok=True)
        pair.certificate.write_bytes(
            builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        )
        _write_secret(pair.key, _key_pem(key))
        return pair


def write_signing_key(file: Path) -> Path:
    """Write a key that signs the tokens of service accounts."""
    file.parent.mkdir(parents=True, exist_ok=True)
    _write_secret(file, _key_pem(_curve_key()))
    return file


def _curve_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: Key) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
    )
    builder = builder.serial_number(x509.random_serial_number())
    # An hour ago, for clocks that disagree.
    return builder.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + LIFE)


def _usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not ca,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def _write_secret(file: Path, content: bytes) -> None:
    file.touch(mode=0o600)
    file.write_bytes(content)
