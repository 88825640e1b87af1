"""Levels, standings and rules to a route.

In come scores and what is known of the caller; out go levels and routes, by a policy.

Reading order: escalation, call_ids < contacts < standing < rules < reasons, protection, supervision < policy.
"""
