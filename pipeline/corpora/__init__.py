"""The products: how the rows of each corpus are put together from the tables of the stages."""
