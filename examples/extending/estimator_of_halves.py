"""A kind of estimator from outside the package: `fit`, `transform`, `inverse_transform`, and an adapter."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from isthmus.estimators.adapters import Adapter, register
from isthmus.estimators.saving import Saved


class Halves(TransformerMixin, BaseEstimator):
    """Keeps the first half of each sample, and reconstructs the other as its mean."""

    def fit(self, X, y=None):
        self.mean_ = X.mean(axis=0)
        return self

    def transform(self, X):
        return X[:, : X.shape[1] // 2]

    def inverse_transform(self, code):
        return np.hstack([code, np.tile(self.mean_[code.shape[1] :], (len(code), 1))])


class HalvesAdapter(Adapter):
    name, has_code = "halves", True

    @property
    def n_parameters(self):
        return self.model.mean_.size

    def code_size(self, n_features):
        return n_features // 2

    def saved(self):
        return Saved({"mean_": self.model.mean_}, {})

    @staticmethod
    def rebuilt(parameters, tensors, fitted):
        model = Halves(**parameters)
        model.mean_ = tensors["mean_"]
        return model


register(Halves, HalvesAdapter)
