"""The quality database: views of DuckDB over a WORKDIR's tables, and what is read from them."""
