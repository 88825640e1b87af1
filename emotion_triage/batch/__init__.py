"""Recordings in, records out, on one machine or a cluster.

In come files, folders, addresses and manifests; out go records, timelines and tables of measurements.

Reading order: record < append_log < timeline < parquet < inputs < options < process_pool < scoring
< result_file < manifests < dask < feature_table < measurements.
"""
