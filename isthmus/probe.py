"""Public path of `isthmus.analysis.probe`."""

from isthmus.analysis.probe import *  # noqa: F403
