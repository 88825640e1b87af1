"""Labelled recordings to an ONNX model and its card (extra ``[train]``): ``python -m emotion_triage.training``.

Reading order: encoder, corpora, figures, lines < dataset, tone < fit < export < card.
"""
