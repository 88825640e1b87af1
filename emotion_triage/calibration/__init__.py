"""A site's own labelled windows to the slopes, shifts and thresholds of a policy.

Reading order: labelled < fit.
"""
