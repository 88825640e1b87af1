"""Bytes and files to samples: telephone encodings, streams and recordings.

In come bytes, arrays, files and addresses of any encoding and rate; out go float32 samples at 8 kHz.

Reading order: g711 < stream < remote < containers < decoding < recordings.
"""
