"""What can be measured, by the names that studies and results have for it."""

from __future__ import annotations

ERROR_METRICS = ("mse", "psnr", "ssim", "explained_variance")
CODE_METRICS = ("mean_activation", "l0", "dead_units")
CODE_ONLY = "mse_code_only"
NLL = "nll"  # minus the logarithm of a likelihood, in nats of a sample
REPRESENTATION = ("linear_probe", "knn", "silhouette", "trustworthiness", "effective_rank")  # what codes are worth
COUNTS = ("n_parameters", "code_size")
# A notebook's mistake, repeated so that its numbers can be recognised; see `measure.per_image`.
PUBLISHED_SSE = "published_sse"
PER_IMAGE = ("mse", "mean_activation", "l0", PUBLISHED_SSE)  # what can be asked of a few images alone
# all but what a kind of code brings itself, `Code.figures`, which has any other names
METRICS = (*ERROR_METRICS, *CODE_METRICS, CODE_ONLY, NLL, *REPRESENTATION, *COUNTS, PUBLISHED_SSE)
TRAINING_METRICS = ("loss", "step_loss")  # of the history: the training objective, of an epoch or of the last step
