"""Records to pages that a browser opens without a network: one for each call, one for the batch.

Reading order: audit, envelope, wording < pictures < pages.
"""
