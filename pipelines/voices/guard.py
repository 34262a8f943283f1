"""The known-speaker guard for voices that were kept: what is refused when a voice is chosen is refused afterwards.

The limit is that of the command that runs now, so a voice that was chosen without the guard needs the same setting
when it is kept and when it speaks.
"""

from collections.abc import Sequence

from vclip.errors import InputError
from vclip.speakers.bank import SpeakerBank, known_similarity_limit, nearest_known
from vclip.speakers.voice import Voice

LEAST_BANK = 3  # speakers, for a limit from their own cosines


def check_unlike_known(voice: Voice, limit: float | None, banks: Sequence[SpeakerBank] = ()) -> None:
    """Raises InputError if a voice is too similar to a known speaker, or if nothing says how similar it is.

    Args:
        voice: the voice; its provenance holds its cosine with the nearest speaker that was known when it was chosen.
        limit: `generate.known_similarity`; None for the limit of the bank that the cosine was measured with.
        banks: speakers that are known here; those of another space do not count.
    """
    recorded = [voice.provenance.get(name) for name in ("nearest_known_cosine", "known_similarity_limit")]
    cosines = [(float(cosine), bound) for cosine, bound in [recorded] if isinstance(cosine, float | int)]
    for bank in banks:
        if bank.space == voice.space and len(bank) >= LEAST_BANK and bank.vectors.shape[1] == len(voice.speaker):
            bound = known_similarity_limit(bank) if limit is None else limit
            cosines.append((float(nearest_known(voice.speaker[None], bank)[0]), bound))
    shown = f"voice {voice.name or voice.sha256[:8]}"
    if not cosines:
        raise InputError(
            f"{shown}: its file does not say how similar it is to a known speaker; expected a voice that "
            "`vclip generate` chose"
        )
    for cosine, bound in cosines:
        bound = limit if limit is not None else bound
        if not isinstance(bound, float | int) or not cosine <= bound:
            expected = f"at most {bound:.3f}" if isinstance(bound, float | int) else "a limit beside it"
            raise InputError(
                f"{shown}: its cosine with a known speaker is {cosine:.3f}, expected {expected}; a voice that may be "
                "a known person's is neither kept nor spoken (docs/responsibility.md)"
            )
