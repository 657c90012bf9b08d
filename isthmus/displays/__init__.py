"""Pictures of fitted models, in the manner of scikit-learn's displays."""

from isthmus.displays.drawing import (
    AtomsDisplay,
    CodeDisplay,
    HistoryDisplay,
    ReconstructionDisplay,
    plot_history,
)
from isthmus.displays.study_run import StudyRun, run

__all__ = ["AtomsDisplay", "CodeDisplay", "HistoryDisplay", "ReconstructionDisplay", "StudyRun", "plot_history", "run"]
