"""Speed and accuracy, measured; nothing here is imported by the product."""
