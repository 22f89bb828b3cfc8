"""The state machine of one HTTP request: Envoy's events in, actions out, no I/O."""
