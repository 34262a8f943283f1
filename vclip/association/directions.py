"""What each canonical direction adds: the AUC of a closed form with its strongest directions alone.

The first one is gender, as a rule. Where the curve becomes flat, the training people show no more that face and voice
share.
"""

import copy

from vclip.association.held_out import dev_auc
from vclip.association.linear_start import LinearStart
from vclip.association.model import AssociationModel
from vclip.association.pairs import Pairs

COUNTS = (0, 1, 2, 3, 4, 6, 8, 16, 32, 64)
CLIPS = 1500  # of the people of each side, at most: the curve is looked at, nothing is chosen by it
CHANCE = 0.5


def auc_by_directions(
    start: LinearStart, model: AssociationModel, pairs: Pairs, dev: Pairs
) -> tuple[list[int], list[float]]:
    """Returns numbers of directions, ascending, and the AUC with so many on held-out people; none for a ridge start.

    Args:
        start: the closed form.
        model: the model whose linear paths it is put into; left as it is.
        pairs: the training clips.
        dev: the clips of the held-out people.
    """
    if not start.canonical:
        return [], []
    every = start.maps.voice.shape[1]
    counts = [count for count in COUNTS if count < every] + [every]
    pairs, dev, part = pairs.at_most(CLIPS, 0), dev.at_most(CLIPS, 0), copy.deepcopy(model)
    values = []
    for count in counts:
        start.leading(count).put_into(part, pairs)
        values.append(dev_auc(part, dev) if count else CHANCE)
    return counts, values
