"""Galleries: the faces and voices that an evaluation compares with each other.

Each clip stands for itself, in one gallery. Or each person is pooled: it has one face and one voice, over some of its
clips, in as many galleries as there are draws of clips. Then every person has the same weight, however many clips it
has, so figures for different numbers of clips can be compared.

A face and a voice of one clip share its light, its microphone and the day, so positives are also told apart by the
clip that their voice is from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vclip.association.metrics.scored_trials import Among
from vclip.association.pairs import LABELS, PER_CLIP, Pairs
from vclip.errors import InputError

POOL_DRAWS = 10  # of the clips of each person
OWN_CLIP, OTHER_CLIPS, OTHER_VIDEOS = "own clip", "other clips", "other videos"  # where a positive's voice is from


@dataclass(frozen=True)
class Kind:
    """Same-person trials of one kind."""

    among: Among  # which of the same-person trials of rows are of this kind
    trials: int
    why_none: str  # the reason, where there are none


@dataclass(frozen=True)
class Galleries:
    """What an evaluation compares: within each gallery, every face with every voice."""

    pairs: Pairs  # a row is a clip, or a person in one draw of clips
    rows: Sequence[np.ndarray]  # the rows (n,) int of each gallery
    kinds: dict[str, Kind]  # own clip, other clips, other videos

    @classmethod
    def of_clips(cls, pairs: Pairs) -> "Galleries":
        """Returns one gallery, in which each clip stands for itself."""
        video, trials = pairs.videos(), count_positives(pairs)
        kinds = {
            OWN_CLIP: Kind(lambda a, b: a[:, None] == b, trials[OWN_CLIP], ""),
            OTHER_CLIPS: Kind(lambda a, b: a[:, None] != b, trials[OTHER_CLIPS], "no person has two clips"),
            OTHER_VIDEOS: Kind(
                lambda a, b: video[a][:, None] != video[b], trials[OTHER_VIDEOS], "no person has clips of two videos"
            ),
        }
        return cls(pairs, [np.arange(len(pairs))], kinds)

    @classmethod
    def of_people(cls, pairs: Pairs, views: int, seed: int, draws: int = POOL_DRAWS) -> "Galleries":
        """Returns galleries of people, with one face and one voice each.

        The clips of a person's face and of its voice are drawn independently: they are the same, others, or both.
        A label of a row is that of the person's clips, unknown where they have several.

        Args:
            pairs: clips with identities.
            views: clips behind a face and behind a voice; all clips of a person that has fewer.
            seed: draws the clips.
            draws: the number of galleries; one where nobody has more than `views` clips.

        Raises:
            InputError: `views` is less than 1, or a clip has no identity.
        """
        if views < 1:
            raise InputError(f"views = {views}: expected at least 1 clip of each person")
        people, rng = pairs.people(), np.random.default_rng(seed)
        count = int(people.max(initial=-1)) + 1
        draws = draws if np.bincount(people).max(initial=0) > views else 1
        drawn = [(_some_of_each(people, views, rng), _some_of_each(people, views, rng)) for _ in range(draws)]
        faces, face_row = _rows_of_views([of_face for of_face, _ in drawn], people, pairs.face_clip)
        voices, voice_row = _rows_of_views([of_voice for _, of_voice in drawn], people, pairs.voice_clip)
        first = np.unique(people, return_index=True)[1]
        names = {name: getattr(pairs, name)[first] for name in PER_CLIP}
        names |= {name: _label_of_each(getattr(pairs, name), people) for name in LABELS}
        of_people = replace(
            pairs, faces=pairs.faces[faces], face_clip=face_row, voices=pairs.voices[voices], voice_clip=voice_row,
            **{name: np.tile(values, draws) for name, values in names.items()}, doubtful=None,
        )  # fmt: skip
        rows = np.split(np.arange(draws * count), draws)
        return cls(of_people, rows, _kinds_of_people(drawn, people, pairs.videos()))


def count_positives(pairs: Pairs) -> dict[str, int]:
    """Returns the number of same-person trials of each kind among all faces with all voices of `pairs`."""
    people = pairs.people()
    in_video = np.unique(np.stack([people, pairs.videos()]), axis=1, return_counts=True)[1]
    of_person = int(np.sum(np.bincount(people) ** 2))
    return {
        OWN_CLIP: len(pairs),
        OTHER_CLIPS: of_person - len(pairs),
        OTHER_VIDEOS: of_person - int(np.sum(in_video**2)),
    }


def _some_of_each(people: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Returns which clips (C,) bool are drawn: `size` of each person, or all of a person that has fewer."""
    order = rng.permutation(len(people))
    order = order[np.argsort(people[order], kind="stable")]
    place = np.arange(len(people)) - np.searchsorted(people[order], people[order])
    drawn = np.zeros(len(people), bool)
    drawn[order[place < size]] = True
    return drawn


def _rows_of_views(
    drawn: Sequence[np.ndarray], people: np.ndarray, clip: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the views (n,) of the clips drawn, one draw after the other, and the row of each.

    Args:
        drawn: which clips (C,) bool each draw has.
        people: (C,) int.
        clip: the clip of each view.
    """
    views = [np.flatnonzero(clips[clip]) for clips in drawn]
    count = int(people.max(initial=-1)) + 1
    rows = [draw * count + people[clip[of_draw]] for draw, of_draw in enumerate(views)]
    return np.concatenate(views), np.concatenate(rows)


def _label_of_each(labels: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Returns for each person the label of its clips, "" where they have none or several."""
    known = np.unique([people[labels != ""].astype(str), labels[labels != ""]], axis=1)
    person, label = known[0].astype(int), known[1]
    found = np.full(int(people.max(initial=-1)) + 1, "", labels.dtype)
    alone = np.bincount(person, minlength=len(found))[person] == 1
    found[person[alone]] = label[alone]
    return found


def _kinds_of_people(
    drawn: Sequence[tuple[np.ndarray, np.ndarray]], people: np.ndarray, video: np.ndarray
) -> dict[str, Kind]:
    """Returns the kinds of positives; within a gallery a person has one.

    Args:
        drawn: for each draw, which clips (C,) bool the faces and the voices are of.
        people, video: (C,) int.
    """
    (person, _), part = np.unique([people, video], axis=1, return_inverse=True)  # a person's part of a video
    parts, part = np.arange(len(person)), part.ravel()
    same, no_clip, no_video = [], [], []
    for of_face, of_voice in drawn:
        same.append(np.bincount(people, of_face != of_voice) == 0)
        no_clip.append(np.bincount(people, of_face & of_voice) == 0)
        in_both = np.isin(parts, part[of_face]) & np.isin(parts, part[of_voice])
        no_video.append(np.bincount(person, in_both) == 0)
    return {
        OWN_CLIP: _kind(same, "no draw has the face and the voice of a person from the same clips"),
        OTHER_CLIPS: _kind(no_clip, "no draw has the face and the voice of a person from other clips"),
        OTHER_VIDEOS: _kind(no_video, "no draw has the face and the voice of a person from other videos"),
    }


def _kind(of_person: Sequence[np.ndarray], why_none: str) -> Kind:
    chosen = np.concatenate(of_person)
    return Kind(lambda a, b: np.repeat(chosen[a][:, None], len(b), axis=1), int(chosen.sum()), why_none)
