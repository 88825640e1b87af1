"""Sounds that no person made: tones, noise, music and a synthetic caller, for demos, tests and training.

In come durations and random numbers; out go samples.

Reading order: sounds < speech < demo.
"""
