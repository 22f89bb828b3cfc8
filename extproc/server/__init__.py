"""The only room with I/O: gRPC towards Envoy, the config file, the admin pages, processes and logs."""

import os

# gRPC reads this when it is imported, so it stands here. Its older listener polls sockets in the very thread that wakes
# our event loop, instead of passing each message through a pool of threads: a fifth less CPU per exchange (measured
# behind Envoy 1.40 with grpcio 1.85). A version without that switch says so once on stderr and goes on.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
