"""The denoisers of images of any size."""

from isthmus.estimators.denoising import classical, denoiser_adapter

__all__ = ["classical", "denoiser_adapter"]
