"""Pictures of fitted models, in the manner of scikit-learn's displays."""

from isthmus.displays.drawing import (
    AtomsDisplay,
    CodeDisplay,
    HistoryDisplay,
    ReconstructionDisplay,
    plot_history,
)

__all__ = ["AtomsDisplay", "CodeDisplay", "HistoryDisplay", "ReconstructionDisplay", "plot_history"]
