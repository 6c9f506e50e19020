"""Where conversations are kept between turns, as tokens."""
