"""Certificates as an authority gives them, and files of them, for tests of the signature."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

KEYS = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


@dataclass(frozen=True)
class Certificates:
    """PEM files: the chain of a signer, its key, and the certificate of its issuer alone."""

    chain: Path
    key: Path
    issuer: Path


def certificates(folder: Path, kind: str = "P-256", purpose: bool = True, days: int = 30) -> Certificates:
    """Writes the certificate of "A Studio" and its issuer's; without a purpose, C2PA refuses it."""
    issuer_key, key = KEYS["P-256"](), KEYS[kind]()
    names = [x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)]) for name in ("A Root", "A Studio")]
    now = datetime.now(UTC)

    def made(subject, public, issues):
        usage = x509.KeyUsage(not issues, False, False, False, False, issues, issues, False, False)
        builder = (
            x509.CertificateBuilder(names[0], subject, public, x509.random_serial_number())
            .not_valid_before(now - timedelta(days=90))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(issues, None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
            )
        )
        if purpose and not issues:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), True)
        return builder.sign(issuer_key, hashes.SHA256()).public_bytes(Encoding.PEM)

    root = made(names[0], issuer_key.public_key(), True)
    paths = Certificates(*(folder / f"{name}.pem" for name in ("chain", "key", "issuer")))
    folder.mkdir(parents=True, exist_ok=True)
    paths.chain.write_bytes(made(names[1], key.public_key(), False) + root)
    paths.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    paths.issuer.write_bytes(root)
    return paths


def encrypted(key: Path) -> Path:
    """Writes the key again, encrypted."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    path = key.with_name("encrypted.pem")
    loaded = load_pem_private_key(key.read_bytes(), None)
    path.write_bytes(loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    return path
