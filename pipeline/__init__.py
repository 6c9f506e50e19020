"""The build: config, graph, plan, run, store, snapshots. Its core knows nothing of audio."""
