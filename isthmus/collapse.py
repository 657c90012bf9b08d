"""Public path of `isthmus.analysis.collapse`."""

from isthmus.analysis.collapse import Collapse, collapse, diagnose, frozen_pixels

__all__ = ["Collapse", "collapse", "diagnose", "frozen_pixels"]
