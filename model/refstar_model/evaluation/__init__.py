"""Judging a model on pairs of photographs of people it has never seen, on single photographs, and on real portraits.

``cases`` and ``lone_cases`` say what is restored, ``scores`` how one picture is judged, ``study`` does all of it,
section by section, ``bars`` holds it against what is wanted, ``report`` writes it down. ``quick_scores`` and
``quick_scores_alone`` are the small versions for choosing checkpoints.
"""

from refstar_model.evaluation.cases import has_cases
from refstar_model.evaluation.quick import quick_scores, quick_scores_alone
from refstar_model.evaluation.quick_sheet import draw_quick_sheet
from refstar_model.evaluation.report import markdown, write_quality, write_report
from refstar_model.evaluation.scores import Judges
from refstar_model.evaluation.second_recognizer import find_second_recognizer
from refstar_model.evaluation.sheets import Sheets
from refstar_model.evaluation.study import Extent, Section, evaluate
from refstar_model.export.restorers import FolderModel, NetModel, RestoredPicture, Restorer

__all__ = [
    "Extent",
    "FolderModel",
    "Judges",
    "NetModel",
    "RestoredPicture",
    "Restorer",
    "Section",
    "Sheets",
    "draw_quick_sheet",
    "evaluate",
    "find_second_recognizer",
    "has_cases",
    "markdown",
    "quick_scores",
    "quick_scores_alone",
    "write_quality",
    "write_report",
]
