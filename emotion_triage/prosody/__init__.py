"""Samples to descriptors and functionals, without state but for the stream's own.

In come samples at 8 kHz; out go rows of descriptors for each frame and statistics for each window.

Reading order: frames < pitch < voice < lld < vad < gate < functionals, mel < windows < measurement.
"""
