"""Filesystem xDS."""

from controller.translate.envoy.documents import Document


def file_source(path: str) -> Document:
    """A config source that reads a file again when its directory changes, as a ConfigMap volume does by a symlink swap.

    Raises ``ValueError`` for a path that is not absolute.
    """
    folder, slash, name = path.rpartition("/")
    if not path.startswith("/") or not name:
        raise ValueError(f"not an absolute path of a file: {path!r}")
    return {
        "resource_api_version": "V3",
        "path_config_source": {"path": path, "watched_directory": {"path": folder or slash}},
    }
