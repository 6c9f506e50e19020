"""From transcripts to tokens that can be compared, by language, and their edits."""
