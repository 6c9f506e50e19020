"""Running a plan: in this process, or on Ray. Both give the same tables."""
