"""``python -m controller``: the same as ``llmroute``."""

from controller.cli import main

if __name__ == "__main__":
    main(prog_name="python -m controller")
