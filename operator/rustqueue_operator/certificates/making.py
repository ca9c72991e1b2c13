"""Reading and signing certificates. The only module of the operator that knows the cryptography library.

Keys are never kept, logged or part of an error.
"""

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rustqueue_operator.certificates.planning import Authority, Certificate

_EARLIER: Final = timedelta(minutes=5)  # Clocks of nodes differ.


class NotUsable(Exception):
    """Something is no certificate or no key; the text says which, never what is in it."""


class Made(NamedTuple):
    certificate: bytes
    key: bytes


def authority_of(certificate: bytes) -> Authority:
    """Raises `NotUsable`."""
    return Authority(int(_load(certificate, "ca.crt").not_valid_after_utc.timestamp()))


def certificate_of(certificate: bytes, authority: bytes) -> Certificate:
    """What a certificate says. Raises `NotUsable`."""
    found, issuer = _load(certificate, "tls.crt"), _load(authority, "ca.crt")
    try:
        found.verify_directly_issued_by(issuer)
        trusted = True
    except (ValueError, TypeError, InvalidSignature):
        trusted = False
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known = tuple(names.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        known = ()
    begins, ends = found.not_valid_before_utc, found.not_valid_after_utc
    return Certificate(int(begins.timestamp()), int(ends.timestamp()), known, trusted)


def signed(authority: bytes, authority_key: bytes, names: tuple[str, ...], now_s: int, ends_s: int) -> Made:
    """A new key and a certificate for these names, for both sides of a link. Raises `NotUsable`."""
    issuer = _load(authority, "ca.crt")
    try:
        signing = serialization.load_pem_private_key(authority_key, None)
    except (ValueError, TypeError) as error:
        raise NotUsable("ca.key is no key in PEM without a password") from error
    if not isinstance(signing, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise NotUsable("ca.key is neither an RSA nor an EC key")
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rustqueue node")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(now_s, UTC) - _EARLIER)
        .not_valid_after(datetime.fromtimestamp(ends_s, UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        # Strict verifiers want to know by which of its keys the authority signed.
        .add_extension(_signer(issuer), critical=False)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
    )
    made = builder.sign(signing, hashes.SHA256())
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Made(made.public_bytes(serialization.Encoding.PEM), text)


def _signer(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        own = x509.SubjectKeyIdentifier.from_public_key(issuer.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _load(text: bytes, what: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(text)
    except ValueError as error:
        raise NotUsable(f"{what} is no certificate in PEM") from error
