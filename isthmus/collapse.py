"""Public path of `isthmus.analysis.collapse` and `isthmus.analysis.worse_than_pca`."""

from isthmus.analysis.collapse import *  # noqa: F403
from isthmus.analysis.worse_than_pca import *  # noqa: F403
