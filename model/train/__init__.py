"""Training: one loop for every network, told by a learner what to do."""
