"""The languages of speech, as primary tags of BCP 47 ("en", "de", "zh"), and which backend speaks which."""

from collections.abc import Sequence

from vclip.errors import InputError

UNKNOWN = "und"  # BCP 47's tag for a language that is not known, here that of a voice whose settings do not name it
# Who speaks a language where the chosen TTS does not, for errors.
_SPEAKERS = {
    ("en",): "generate.tts=morph or kokoro",
    ("es", "fr", "hi", "it", "pt"): "generate.tts=kokoro (pip install 'vclip[kokoro,kokoro-languages]')",
}
_ANY = "a voice of that language as generate.tts=piper:VOICE.onnx or vits:FOLDER (pip install 'vclip[piper,vits]')"


def primary_tag(language: str) -> str:
    """Returns the primary tag of a language.

    Args:
        language: a tag of BCP 47 or a code of ISO 639.

    Raises:
        InputError: there is no such language.

    Example:
        >>> [primary_tag(language) for language in ("en-GB", "deu", "cmn-Hans")]
        ['en', 'de', 'zh']
    """
    import langcodes

    try:
        found = langcodes.Language.get(langcodes.standardize_tag(language.strip(), macro=True)).language or UNKNOWN
    except ValueError:
        found = ""
    if not found or not langcodes.Language.get(found).is_valid():
        raise InputError(f"language {language[:40]!r}: expected a tag of BCP 47, as in en, de or zh")
    return found


def language_of_voice(name: str | None) -> str:
    """Returns the primary tag of the language that the settings of a voice name, or UNKNOWN."""
    try:
        return primary_tag(name or UNKNOWN)
    except InputError:
        return UNKNOWN


def language_to_speak(language: str, languages: Sequence[str], tts: str) -> str:
    """Returns the primary tag of the language in which a TTS speaks a text.

    Args:
        language: a tag of BCP 47, or "" for the first language of the TTS.
        languages: the languages of the TTS; UNKNOWN stands for any.
        tts: the spec of the TTS, for errors.

    Raises:
        InputError: there is no such language, or the TTS does not speak it; names what does.
    """
    if not language or language in languages:
        return language or languages[0]
    tag = primary_tag(language)
    if tag in languages or UNKNOWN in languages:
        return tag
    others = [spec for spoken, spec in _SPEAKERS.items() if tag in spoken]
    raise InputError(f"language '{tag}': {tts} speaks {', '.join(languages)}; use {' or '.join([*others, _ANY])}")
