"""What an answer says, read by rules: a letter, a label, a refusal."""
