"""Judging a model on pairs of photographs of people it has never seen, and on real small portraits.

``cases`` says what is restored, ``scores`` how one picture is judged, ``study`` does all of it, ``bars`` holds it
against what is wanted, ``report`` writes it down. ``quick_scores`` is the small version for choosing checkpoints.
"""

from refstar_model.evaluation.quick import quick_scores
from refstar_model.evaluation.quick_sheet import draw_quick_sheet
from refstar_model.evaluation.report import Sheets, markdown, write_quality, write_report
from refstar_model.evaluation.restorers import FolderModel, NetModel, Restored, Restorer
from refstar_model.evaluation.scores import Judges
from refstar_model.evaluation.study import Extent, evaluate

__all__ = [
    "Extent",
    "FolderModel",
    "Judges",
    "NetModel",
    "Restored",
    "Restorer",
    "Sheets",
    "draw_quick_sheet",
    "evaluate",
    "markdown",
    "quick_scores",
    "write_quality",
    "write_report",
]
