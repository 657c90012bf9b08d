"""Public path of `isthmus.analysis.collapse`."""

from isthmus.analysis.collapse import *  # noqa: F403
