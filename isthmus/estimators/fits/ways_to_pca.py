"""How a training can begin at PCA's solution, in words for who calls `fit`."""

from __future__ import annotations

import dataclasses

from isthmus.parts.networks import NetworkPart

_RECTIFIERS = ("gelu", "leakyrelu", "relu", "silu")


def start_at_pca(part: NetworkPart, start: str) -> list[str]:
    """What lets a training on many samples, which begins elsewhere unless it is to, begin at PCA's solution; [] for
    nothing, or where it did. start: of the training, which is no warm one.

    >>> from isthmus import Dense
    >>> print(*start_at_pca(Dense((), 8, code_activation="linear"), "data"))
    start="pca", which begins at PCA's solution
    """
    linear = part.beginning_at_pca(widened=True)
    if linear is None or (linear == part and start == "pca"):
        return []
    network = "" if linear == part else f"{linear!r} with "
    return [f"""{network}start="pca", which begins at PCA's solution"""]


def way_to_pca(part: NetworkPart, *, few: bool) -> tuple[str, str] | None:
    """What keeps a training from PCA's solution, and the network that begins there or comes nearer; None if this one
    can. few: whether the samples are so few that trainings begin there.

    >>> from isthmus import Dense
    >>> way_to_pca(Dense((), 8, output="sigmoid", code_activation="linear"), few=True)[0]
    "its training does not begin at PCA's solution"
    """
    linear, is_rectified = part.beginning_at_pca(widened=True), part.code_output in _RECTIFIERS
    if linear is None or linear == part or not (few or is_rectified):
        return None
    cause = "its training does not begin at PCA's solution"
    if is_rectified:
        cause = f"a code of {part.code_output} units spends two of them where a linear one spends one"
    other = [(f.name, getattr(linear, f.name), getattr(part, f.name)) for f in dataclasses.fields(part)]
    changed = ", ".join(f"{name}={new!r} in place of {old!r}" for name, new, old in other if new != old)
    begin = "" if few else ', with start="pca"'
    return cause, f"take {linear!r}, which has {changed}{begin}"
