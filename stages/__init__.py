"""The stages of the build, and the engines behind them."""
