"""Filesystem xDS."""

from controller.translate.envoy.documents import Document
from controller.translate.settings import SWAPPED


def file_source(path: str) -> Document:
    """A config source that reads a file again when its directory changes, as a ConfigMap volume does by a symlink swap.

    What is in ``..data`` of such a volume is there from the swap on, which is seen in the directory above. The volume's
    own link to a new file comes a moment later, and Envoy does not see that.

    Raises ``ValueError`` for a path that is not absolute.
    """
    folder, slash, name = path.rpartition("/")
    folder = folder.removesuffix(f"/{SWAPPED}")
    if not path.startswith("/") or not name:
        raise ValueError(f"not an absolute path of a file: {path!r}")
    return {
        "resource_api_version": "V3",
        "path_config_source": {"path": path, "watched_directory": {"path": folder or slash}},
    }
