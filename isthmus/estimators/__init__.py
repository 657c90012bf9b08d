"""The scikit-learn contract: arrays in, arrays out."""
