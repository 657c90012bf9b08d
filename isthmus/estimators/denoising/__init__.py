"""The denoiser of images of any size."""

from isthmus.estimators.denoising import denoiser_adapter

__all__ = ["denoiser_adapter"]
