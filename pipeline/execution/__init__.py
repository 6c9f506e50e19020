"""Running a plan: in this process, or on Ray. Both make the same tables."""
