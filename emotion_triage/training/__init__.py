"""Labelled recordings to an ONNX model and its card (extra ``[train]``): ``python -m emotion_triage.training``.

Reading order: contour, corpora, figures, lines < dataset < fit < contour_graph < export < card.
"""
