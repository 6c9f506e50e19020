"""Training: one loop for every network, which a learner gives its networks and losses."""
