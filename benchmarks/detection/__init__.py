"""Detection on callers, corpora, languages and lines that the model never heard: ``python -m benchmarks.detection``."""
