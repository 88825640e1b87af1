"""What the voice says: the classifier, `Affect` and its drivers.

In come rows and functionals of windows; out go calibrated probabilities and the reasons for them.

Reading order: weights < classifier < affect.
"""
