"""A month of recordings: what scoring them costs, what a kill leaves, what a cluster changes."""
