"""Public path of `isthmus.analysis.probe`."""

from isthmus.analysis.probe import (
    SIDES,
    activation_maps,
    atoms_by_usage,
    code_scatter,
    code_spread,
    filters,
    has_atoms,
    interpolation,
    latent_noise,
    nearest,
    reconstructions,
    top_atoms,
    uniform_noise,
    usage,
)

__all__ = [
    "SIDES",
    "activation_maps",
    "atoms_by_usage",
    "code_scatter",
    "code_spread",
    "filters",
    "has_atoms",
    "interpolation",
    "latent_noise",
    "nearest",
    "reconstructions",
    "top_atoms",
    "uniform_noise",
    "usage",
]
