"""Who and what the fixtures show."""

from dataclasses import replace

import numpy as np

from pipelines.quickstart.sample import Person, draw_people

PEOPLE_ON_VIDEO = 6
PEOPLE_IN_PAIRS = 24


def people_in_pairs() -> list[Person]:
    """Other people than those on video, by name too."""
    return [replace(p, name=p.name.replace("person", "reader")) for p in draw_people(PEOPLE_IN_PAIRS, seed=7)]


def gender_of(person: Person) -> str:
    """The label that the pairs give: by build, as it decides the pitch."""
    return "m" if person.traits[0] > 0 else "f"


def no_face() -> np.ndarray:
    """A picture (240, 320, 3) uint8 in which there is nobody."""
    across = np.linspace(40, 220, 320)[None] + np.zeros((240, 1))
    return np.repeat(across.astype(np.uint8)[..., None], 3, axis=2)
