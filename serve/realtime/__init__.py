"""The OpenAI Realtime protocol over a WebSocket."""
