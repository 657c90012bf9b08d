"""Fitted networks for other programs: ONNX files and plain torch modules. No estimators here."""
