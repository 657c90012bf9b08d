"""What has to be the same in all processes of a run."""

from __future__ import annotations

from isthmus.fingerprints import code_fingerprint, versions
from isthmus.training.hardware import processor_of, resolve_device


def kept_equal(device: str = "auto") -> dict[str, str]:
    """What has to be the same, by name: where it is another, other numbers are drawn, or added up otherwise.

    device: of the run's request. Raises RequestError for one that is not on this machine.
    """
    return {**versions(), "processor": processor_of(resolve_device(device)), "code": code_fingerprint()[:12]}
