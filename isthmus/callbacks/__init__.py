"""Ready callbacks for `set_callbacks` of an estimator."""

from isthmus.callbacks.trackers import Log, MLflow, TensorBoard, WandB, numbers_of, picture_of

__all__ = ["Log", "MLflow", "TensorBoard", "WandB", "numbers_of", "picture_of"]
