"""Signed metadata by C2PA (Content Credentials), from the package `c2pa-python`.

A `Signer` puts a manifest into a WAV or FLAC file: who made the file, that it is synthetic, and a hash of every other
byte, signed with a certificate. `read_signature` says whether the manifest still fits the file. Without a certificate
of the user's, `self_made_signer` makes one: it shows that a file is unchanged, and not who made it. Everything works
offline, but for a time stamp authority that the user names.
"""

import io
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import vclip
from vclip.errors import InputError
from vclip.tts.wav import CHUNK_BYTES, IN_MEMORY_BYTES

INSTALL = "pip install 'vclip[c2pa]'"
WAV, FLAC = "audio/wav", "audio/flac"
SELF_MADE = "vclip, self-made certificate"  # organisation of a self-made certificate
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
SYNTHETIC, MIXED = "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"
SOURCES = {SYNTHETIC: "made by a trained algorithm", MIXED: "partly made by a trained algorithm"}
OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
YEARS = 10  # of a self-made certificate
# What the codes of C2PA's validation mean; every other code is shown as it is.
MEANINGS = {
    "assertion.dataHash.mismatch": "the file was changed after it was signed",
    "assertion.hashedURI.mismatch": "the signed statements were changed",
    "claimSignature.mismatch": "the signature does not fit the signed statements",
    "claimSignature.outsideValidity": "the certificate was not valid at the time of signing",
    "signingCredential.expired": "the certificate has expired, and no time stamp says that it was signed before",
}


@dataclass(frozen=True)
class Signer:
    """A certificate and its key; can be sent to other processes. Opened by `open_signer` or `self_made_signer`."""

    chain: bytes = field(repr=False)  # PEM: the certificate and those of its issuers
    key: bytes = field(repr=False)  # PEM, PKCS #8
    algorithm: str
    name: str  # what the provenance says about the signature
    timestamp: str = ""  # address of a time stamp authority

    @property
    def self_made(self) -> bool:
        """Whether the certificate says of itself that Vclip made it."""
        return self.name == SELF_MADE

    def sign(
        self, content: Iterable[bytes], media_type: str = WAV, source: str = SYNTHETIC, about: str = ""
    ) -> Iterator[bytes]:
        """Returns the content of a media file with a signed manifest inside it, in parts; the samples are the same.

        Args:
            content: the file in parts.
            media_type: WAV or FLAC.
            source: the digital source type (IPTC) that the manifest states.
            about: a description for people.

        Raises:
            InputError: the package is missing, refuses the certificate, or does not reach the time stamp authority.
        """
        c2pa = _package()
        agent = {"name": "vclip", "version": vclip.__version__}
        action = {"action": "c2pa.created", "digitalSourceType": SOURCE_TYPES + source, "softwareAgent": agent}
        action |= {"description": about} if about else {}
        manifest = {
            "claim_generator_info": [agent],
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
        }
        plain, signed = (tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) for _ in range(2))  # noqa: SIM115
        plain.writelines(content)
        plain.seek(0)
        try:
            info = c2pa.C2paSignerInfo(self.algorithm, self.chain, self.key, self.timestamp or None)
            with c2pa.Context.from_dict(OFFLINE) as context, c2pa.Signer.from_info(info) as signer:
                c2pa.Builder(manifest, context).sign(signer, media_type, plain, signed)
        except c2pa.C2paError as error:
            hint = f", with the time stamp authority {self.timestamp}" if self.timestamp else ""
            raise InputError(f"signature by '{self.name}'{hint}: C2PA fails ({_line(error)})") from None
        return _parts(signed)


@dataclass(frozen=True)
class Signature:
    """What a file's C2PA manifest says, and whether it still fits the file."""

    state: str  # "trusted", "valid", "self-made", "altered", "absent" or "not checked"
    says: str  # the same in words
    source: str = ""  # the digital source type that the manifest states, as in SYNTHETIC


def open_signer(certificate: str | Path, key: str | Path, timestamp: str = "") -> Signer:
    """Returns the signer of a certificate and its key.

    Args:
        certificate: a PEM file with the certificate first, then those of its issuers.
        key: a PEM file with its private key, not encrypted.
        timestamp: the address of a time stamp authority (RFC 3161), or "".

    Raises:
        InputError: a file cannot be read, the key is of another certificate, C2PA refuses the certificate, or does
            not reach the time stamp authority.
    """
    _package()
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    chain, private = _read("marks.certificate", certificate), _read("marks.key", key)
    try:
        certificates = x509.load_pem_x509_certificates(chain)
    except ValueError:
        raise InputError(f"marks.certificate {certificate}: expected certificates in PEM form") from None
    try:
        loaded = serialization.load_pem_private_key(private, None)
    except (ValueError, TypeError):  # TypeError: it is encrypted
        raise InputError(f"marks.key {key}: expected a private key in PEM form, not encrypted") from None
    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    if loaded.public_key().public_bytes(*form) != certificates[0].public_key().public_bytes(*form):
        raise InputError(
            f"marks.key {key}: is not the key of the first certificate in {certificate}; expected the signer's "
            "certificate first, then those of its issuers"
        )
    fingerprint = certificates[0].fingerprint(hashes.SHA256()).hex()
    signer = Signer(chain, _pem(loaded), _algorithm(loaded, key), f"certificate {fingerprint}", timestamp)
    try:
        list(signer.sign([_EMPTY_WAV]))
    except InputError as error:
        raise InputError(f"marks.certificate {certificate}: {error}") from None
    return signer


def self_made_signer(timestamp: str = "") -> Signer:
    """Returns a signer whose certificate is made now, by an issuer that nobody knows; its key is in memory alone.

    Raises:
        InputError: the package `c2pa-python` is missing.
    """
    _package()
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    now = datetime.now(UTC)
    issuer_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer, own = (
        x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, SELF_MADE),
                x509.NameAttribute(NameOID.COMMON_NAME, f"vclip {name}"),
            ]
        )
        for name in ("issuer", "signer")
    )

    def certificate(subject: x509.Name, public: ec.EllipticCurvePublicKey, issues: bool) -> bytes:
        usage = x509.KeyUsage(not issues, False, False, False, False, issues, issues, False, False)
        builder = (
            x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))  # clocks differ
            .not_valid_after(now + timedelta(days=365 * YEARS))
            .add_extension(x509.BasicConstraints(issues, None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
            )
        )
        if not issues:
            purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])  # of those that C2PA accepts
            builder = builder.add_extension(purpose, critical=True)
        return builder.sign(issuer_key, hashes.SHA256()).public_bytes(Encoding.PEM)

    chain = certificate(own, key.public_key(), False) + certificate(issuer, issuer_key.public_key(), True)
    return Signer(chain, _pem(key), "es256", SELF_MADE, timestamp)


def read_signature(content: bytes, trust: str | Path | None = None) -> Signature:
    """Returns what the C2PA manifest in the content of a media file says, and whether it fits the file.

    Args:
        content: the file.
        trust: a PEM file of the certificates of issuers that are trusted, or None.

    Raises:
        InputError: `trust` cannot be read.
    """
    if trust and not _is_pem(trust):
        raise InputError(f"--trust {trust}: expected certificates in PEM form")
    if not (b"c2pa" in content or b"C2PA" in content):
        return Signature("absent", "no C2PA manifest")
    try:
        c2pa = _package()
    except InputError:
        return Signature("not checked", f"there may be one; reading it needs {INSTALL}")
    anchors = {"trust": {"trust_anchors": _read("--trust", trust).decode()}} if trust else {}
    try:
        with (
            c2pa.Context.from_dict(OFFLINE | anchors) as context,
            c2pa.Reader(None, io.BytesIO(content), None, context) as reader,
        ):
            report = json.loads(reader.json())
    except c2pa.C2paError.ManifestNotFound:
        return Signature("absent", "no C2PA manifest")
    except c2pa.C2paError as error:
        return Signature("altered", f"the C2PA manifest cannot be read ({_line(error)})")
    return _signature(report)


def _signature(report: Mapping[str, Any]) -> Signature:
    manifest = report.get("manifests", {}).get(report.get("active_manifest"), {})
    found = report.get("validation_results", {}).get("activeManifest", {})
    failures = [row["code"] for row in found.get("failure", ()) if row["code"] != "signingCredential.untrusted"]
    by = manifest.get("signature_info", {})
    issuer = _line(by.get("issuer") or "an unnamed issuer")
    actions = [
        action
        for assertion in manifest.get("assertions", ())
        if str(assertion.get("label", "")).startswith("c2pa.actions")
        for action in assertion.get("data", {}).get("actions", ())
    ]
    sources = [str(action["digitalSourceType"]) for action in actions if "digitalSourceType" in action]
    source = sources[0].removeprefix(SOURCE_TYPES) if sources else ""
    stated = f"states: {SOURCES.get(source, _line(source))}" if source else "states no source"
    if at := by.get("time"):
        stated += f", time stamp {_line(at)}"
    if failures or report.get("validation_state") == "Invalid":
        told = [MEANINGS.get(code, "C2PA's validation fails") + f" ({code})" for code in dict.fromkeys(failures)]
        return Signature("altered", "; ".join(told) or "C2PA's validation fails", source)
    if report.get("validation_state") == "Trusted":
        return Signature("trusted", f"by '{issuer}', whose issuer is on the given list; {stated}", source)
    if issuer == SELF_MADE:
        return Signature(
            "self-made",
            f"the file is unchanged, but anybody may have made it and its certificate; {stated}",
            source,
        )
    return Signature("valid", f"by '{issuer}', whom no given list of trusted issuers names; {stated}", source)


def _package() -> ModuleType:
    try:
        import c2pa
        import cryptography  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: its library does not load here
        raise InputError(f"C2PA signature: {_line(error)}; {INSTALL}") from None
    return c2pa


def _algorithm(key: Any, path: str | Path) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey):
        name = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}.get(key.curve.name)
        if name:
            return name
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    raise InputError(f"marks.key {path}: expected a key of P-256, P-384, P-521, RSA or Ed25519")


def _pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _is_pem(path: str | Path) -> bool:
    content = _read("--trust", path)
    return content.isascii() and b"-----BEGIN CERTIFICATE-----" in content


def _read(what: str, path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"{what} {path}: {getattr(error, 'strerror', None) or error}; expected a PEM file") from None


def _parts(file: Any) -> Iterator[bytes]:
    file.seek(0)
    while part := file.read(CHUNK_BYTES):
        yield part


def _line(text: object) -> str:
    return " ".join(str(text).split())[:200]


_EMPTY_WAV = b"RIFF\x28\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0data\4\0\0\0\0\0\0\0"
