"""One model on one benchmark: answers, item by item and resumable, then scores."""
