"""Labelled recordings to an ONNX model and its card (extra ``[train]``): ``python -m emotion_triage.training``."""
