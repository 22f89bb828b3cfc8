"""The only room with I/O: gRPC towards Envoy, the config file, the admin pages, processes and logs."""
