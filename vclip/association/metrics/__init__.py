"""Exact figures of verification, matching and retrieval, with intervals bootstrapped over people. Needs numpy alone.

scored_trials   a face, a voice and their score; all faces with all voices in blocks
bootstrap       draws of people, and a figure with its interval
verification    AUC, EER, ROC curve, the difference of two models
ranking         1:N matching, mean average precision, R@k
"""

from vclip.association.metrics.bootstrap import Figure, draw_people, interval
from vclip.association.metrics.ranking import RetrievalRanks, matching, retrieval
from vclip.association.metrics.scored_trials import Crossing, ScoredTrials, all_trials
from vclip.association.metrics.verification import Verification, auc, equal_error_rate, verify

__all__ = [
    "Crossing",
    "Figure",
    "RetrievalRanks",
    "ScoredTrials",
    "Verification",
    "all_trials",
    "auc",
    "draw_people",
    "equal_error_rate",
    "interval",
    "matching",
    "retrieval",
    "verify",
]
