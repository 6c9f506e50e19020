"""What clients reach: routes, keys, limits, the page."""
