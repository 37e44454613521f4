"""Certificates for servers and clients of tests."""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["self_signed"]


def self_signed(name: str = "127.0.0.1") -> tuple[bytes, bytes]:
    """A certificate for loopback (or for a host ``name``) that nobody vouches for, and its key; both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - day).not_valid_after(now + 300 * day)
    is_address = name.replace(".", "").isdecimal()
    shown = x509.IPAddress(ipaddress.ip_address(name)) if is_address else x509.DNSName(name)
    made = builder.add_extension(x509.SubjectAlternativeName([shown]), critical=False).sign(key, hashes.SHA256())
    kind, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    return made.public_bytes(pem), key.private_bytes(pem, kind, plain)
