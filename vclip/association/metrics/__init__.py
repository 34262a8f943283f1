"""Verification, matching and retrieval, exactly, with intervals bootstrapped over people. Numpy alone."""

from vclip.association.metrics.bootstrap import Figure, draw_people, interval
from vclip.association.metrics.ranking import RetrievalRanks, matching, retrieval
from vclip.association.metrics.scored_trials import Crossing, ScoredTrials, all_trials
from vclip.association.metrics.verification import Verification, auc, auc_interval, equal_error_rate, roc, verify

__all__ = [
    "Crossing",
    "Figure",
    "RetrievalRanks",
    "ScoredTrials",
    "Verification",
    "all_trials",
    "auc",
    "auc_interval",
    "draw_people",
    "equal_error_rate",
    "interval",
    "matching",
    "retrieval",
    "roc",
    "verify",
]
