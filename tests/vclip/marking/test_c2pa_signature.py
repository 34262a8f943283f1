"""Signed speech: C2PA's own reader validates it, and every change to it is told."""

import io
import json
import socket
import sys

import c2pa
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.certificates import KEYS, certificates, encrypted
from tests.support.vclip_command import call
from vclip.errors import InputError
from vclip.marking.marks import Marks, MarksConfig
from vclip.marking.provenance import speech_file, write_speech
from vclip.marking.signature import FLAC, MIXED, SYNTHETIC, open_signer, read_signature, self_made_signer
from vclip.marking.verify import verify
from vclip.tts.wav import StreamedSpeech

RATE_HZ = 16_000


def _speech(hz=440, samples=RATE_HZ):
    return StreamedSpeech([0.1 * np.sin(2 * np.pi * hz * np.arange(samples) / RATE_HZ)], RATE_HZ)


@pytest.fixture(scope="module")
def marks():
    return Marks.of(MarksConfig(signature="c2pa"))


@pytest.fixture
def signed(tmp_path, marks):
    return write_speech(tmp_path / "a.wav", _speech(), {"marks": marks.record()}, signer=marks.signer)[0]


def _read(content):
    with c2pa.Reader("audio/wav", io.BytesIO(content)) as reader:
        return reader.get_validation_state(), json.loads(reader.json())


def test_c2pas_reader_validates_it_and_the_samples_are_the_same(signed):
    state, report = _read(signed.read_bytes())
    manifest = report["manifests"][report["active_manifest"]]
    assert state == "Valid"
    (action,) = manifest["assertions"][0]["data"]["actions"]
    assert action["action"] == "c2pa.created"
    assert action["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert manifest["claim_generator_info"][0]["name"] == "vclip"
    plain = b"".join(speech_file(_speech(), {})[0])
    assert soundfile.read(signed)[0].tobytes() == soundfile.read(io.BytesIO(plain))[0].tobytes()


def test_verify_says_what_each_layer_is(signed):
    found = verify(signed)
    assert found.problems == ()
    assert (found.label.state, found.signature.state, found.watermark.state) == ("valid", "self-made", "absent")
    assert "anybody may have made it" in found.signature.says


def test_one_flipped_bit_is_told_in_words(signed, capfd):
    content = bytearray(signed.read_bytes())
    content[content.index(b"data") + 1001] ^= 1
    signed.write_bytes(content)
    assert _read(bytes(content))[0] == "Invalid"
    assert "changed after it was signed (assertion.dataHash.mismatch)" in verify(signed).signature.says
    assert call("verify", signed, "--json") == 2
    (row,) = json.loads(capfd.readouterr().out)["files"]
    assert (row["layers"]["signature"]["state"], row["layers"]["label"]["state"]) == ("altered", "altered")


def test_a_removed_signature_is_told(signed):
    content = signed.read_bytes()
    end = content.index(b"C2PA")
    signed.write_bytes(b"RIFF" + (end - 8).to_bytes(4, "little") + content[8:end])
    found = verify(signed)
    assert (found.label.state, found.signature.state) == ("valid", "absent")
    assert found.problems == (
        "the provenance says that the file was signed, and there is no C2PA signature: it was removed",
    )


def test_two_manifests_are_told(signed):
    content = signed.read_bytes()
    more = content[content.index(b"C2PA") :]
    signed.write_bytes(b"RIFF" + (len(content) + len(more) - 8).to_bytes(4, "little") + content[8:] + more)
    assert "found 2 chunks 'C2PA', expected at most one" in verify(signed).problems


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_change_of_a_signed_file_is_told_and_none_is_a_defect(short, data):
    """But for those bytes of the manifest that C2PA does not read."""
    path, true = short
    manifest = range(true.index(b"C2PA") + 8, len(true))
    at, changed = data.draw(st.integers(0, len(true) - 1)), bytearray(true)
    some = data.draw(st.binary(min_size=1, max_size=12))
    way = data.draw(st.sampled_from(["change", "put in", "take out", "cut"]))
    if way == "change":
        changed[at] ^= data.draw(st.integers(1, 255))
    elif way == "put in":
        changed[at:at] = some
    elif way == "take out":
        del changed[at : at + len(some)]
    else:
        del changed[at:]
    path.write_bytes(changed)
    found = verify(path)
    assert bytes(changed) == true or (way == "change" and at in manifest) or found.problems


@pytest.fixture(scope="module")
def short(tmp_path_factory, marks):
    folder, provenance = tmp_path_factory.mktemp("short"), {"marks": marks.record()}
    path, _ = write_speech(folder / "a.wav", _speech(samples=200), provenance, signer=marks.signer)
    return path, path.read_bytes()


@pytest.mark.parametrize("kind", KEYS)
def test_a_certificate_of_the_users_is_trusted_by_those_who_trust_its_issuer(tmp_path, kind):
    files = certificates(tmp_path, kind)
    marks = Marks.of(MarksConfig(certificate=str(files.chain), key=str(files.key)))
    assert marks.notice() == ""
    path, _ = write_speech(tmp_path / "a.wav", _speech(), {"marks": marks.record()}, signer=marks.signer)
    found = verify(path)
    assert (found.problems, found.signature.state) == ((), "valid")
    assert "A Studio" in found.signature.says
    assert verify(path, files.issuer).signature.state == "trusted"
    assert verify(path, certificates(tmp_path / "other").issuer).signature.state == "valid"


def test_files_that_cannot_sign_are_errors_that_name_them(tmp_path):
    files, other = certificates(tmp_path), certificates(tmp_path / "other")
    junk = tmp_path / "junk.pem"
    junk.write_bytes(b"\xff\x00")
    nobodys = certificates(tmp_path / "nobodys", purpose=False)
    expired = certificates(tmp_path / "expired", days=-1)
    for chain, key, expected in (
        (tmp_path / "missing.pem", files.key, "marks.certificate .*missing.pem: No such file"),
        (files.chain, tmp_path / "missing.pem", "marks.key .*missing.pem: No such file"),
        (junk, files.key, "marks.certificate .*junk.pem: expected certificates in PEM form"),
        (files.chain, junk, "marks.key .*junk.pem: expected a private key in PEM form"),
        (files.chain, encrypted(files.key), "marks.key .*not encrypted"),
        (files.chain, other.key, "marks.key .*is not the key of the first certificate"),
        (nobodys.chain, nobodys.key, "marks.certificate .*C2PA fails"),
        (expired.chain, expired.key, "marks.certificate .*C2PA fails"),
    ):
        with pytest.raises(InputError, match=expected) as error:
            open_signer(chain, key)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"marks\.key: found it alone"):
        Marks.of(MarksConfig(key=str(files.key)))
    with pytest.raises(InputError, match=r"--trust .*junk\.pem"):
        read_signature(b"".join(self_made_signer().sign(speech_file(_speech(), {})[0])), junk)


def test_a_time_stamp_authority_that_does_not_answer_is_named():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with pytest.raises(InputError, match=f"time stamp authority {address}"):
        list(self_made_signer(address).sign(speech_file(_speech(), {})[0]))


def test_a_flac_file_is_signed_and_a_statement_of_a_mix_holds(tmp_path):
    flac = io.BytesIO()
    soundfile.write(flac, np.zeros(1000), RATE_HZ, format="FLAC")
    path = tmp_path / "a.flac"
    path.write_bytes(b"".join(self_made_signer().sign([flac.getvalue()], FLAC, MIXED, "An item.")))
    found = verify(path)
    assert (found.problems, found.label.state, found.signature.source) == ((), "absent", MIXED)


def test_a_signature_that_does_not_say_synthetic_is_told(tmp_path):
    signer = self_made_signer()
    path = tmp_path / "a.wav"
    path.write_bytes(b"".join(signer.sign(speech_file(_speech(), {})[0], source="digitalCapture")))
    assert verify(path).problems == (f"the C2PA signature states digitalCapture, expected {SYNTHETIC}",)


def test_without_the_package_speech_is_unsigned_unless_asked_and_verify_says_what_it_needs(signed, monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    marks = Marks.of(MarksConfig())
    assert marks.signer is None
    assert "not signed" in marks.notice()
    for asked in ({"signature": "c2pa"}, {"certificate": "a", "key": "b"}, {"timestamp": "http://tsa"}):
        with pytest.raises(InputError, match=r"pip install 'vclip\[c2pa\]'"):
            Marks.of(MarksConfig(**asked))
    found = verify(signed)
    assert (found.signature.state, found.problems) == ("not checked", ())
    assert "vclip[c2pa]" in found.signature.says


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"RIFF", b"fLaC", b"ID3\x04", b"\xff\xd8\xff", b"OggS"]))
def test_odd_content_has_no_signature_or_a_broken_one(content, head):
    assert read_signature(head + content + b"C2PA").state in ("absent", "altered")
