"""``python -m extproc``: the external processor, or with ``--check`` only its opinion of a configuration file."""

import logging
import pkgutil
import resource
import sys

from extproc.server import logs
from extproc.server.settings import parse_settings
from extproc.server.supervisor import Supervisor


def main() -> int:
    """Run as the command line says; the exit code."""
    settings = parse_settings(sys.argv[1:])
    logs.configure(settings.log_level, settings.log_format)
    try:
        if settings.check:
            # By name, because the supervisor should not carry the loader's weight.
            check = pkgutil.resolve_name("extproc.server.reload:print_findings")
            return int(check(settings.config_path, settings.path_prefix))
        # A dump of a worker would have every credential in it. Workers inherit the limit.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        return Supervisor(settings).run()
    finally:
        logging.shutdown()


if __name__ == "__main__":
    sys.exit(main())
