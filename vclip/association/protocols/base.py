"""What a protocol gives: training sets, the trials for each, and the figures that were published on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from vclip.association.pairs import Pairs
from vclip.association.trials.features import Features
from vclip.association.trials.lists import TrialList


@dataclass(frozen=True)
class TrialSet:
    """A trial list of a protocol, with the vectors of its names."""

    trials: TrialList
    faces: Features
    voices: Features
    subgroup: str = ""  # of its trials, which names their figures: "same gender", "English to Urdu"
    means: Sequence[str] = ()  # the means over several lists in which its EER, its only figure, counts: "heard"
    people: bool = True  # whether its identities are people, over whom intervals can be drawn
    submission: str = ""  # the file of scores to submit, of a list whose labels the protocol keeps to itself
    file: str = ""  # of the list, for messages


@dataclass(frozen=True)
class Task:
    """A training set, the clips that select the training step, and the trials of people in neither."""

    part: str  # the version of the data to which it belongs, "" if there is one
    train: Pairs
    valid: Pairs | None  # None: folds over the training people select
    tests: Sequence[TrialSet]
    spaces: tuple[str, str]  # names of the face space and the voice space
    left_out: int = 0  # files of the training and valid clips that have no vector


@dataclass(frozen=True)
class Published:
    """Figures that somebody published on a protocol."""

    method: str
    source: str  # publication, table or file
    figures: Mapping[str, float] = field(default_factory=dict)  # name as of `figures.measure` -> value, 0..1
    part: str = ""


class BenchmarkProtocol(Protocol):
    """A published protocol. Registered under a name, `vclip benchmark-association --protocol NAME` runs it."""

    name: str
    about: str  # one line
    published: Sequence[Published]

    def read(self, folder: Path) -> Sequence[Task]:
        """Returns the training sets of the protocol.

        Args:
            folder: the folder, or the zip archive, with the published files.

        Raises:
            InputError: a file is missing or not as published.
        """
        ...
