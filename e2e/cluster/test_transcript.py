"""What a person at a terminal sees: docs/kubectl.md is what really happens, but for what differs each time."""

import os
import re
from pathlib import Path

import pytest
import yaml

from e2e.support.control_plane import ControlPlane
from e2e.support.kubectl import Kubectl
from e2e.support.stand import running_stand
from e2e.support.status import until_says
from tests.support.waiting import until

PAGE = Path(__file__).parents[2] / "docs/kubectl.md"
#: Rewrites the page instead of comparing it.
_WRITE = "E2E_WRITE_TRANSCRIPT"
#: The server that the page is of.
_VERSION = (1, 20)
_MANIFEST = """\
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: LLMBackend
metadata:
  name: openai
spec:
  outputSchema: {schema: OpenAI}
  endpoint: {hostname: api.openai.com, port: 443}
---
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: LLMBackend
metadata:
  name: vllm
spec:
  outputSchema: {schema: OpenAI}
  backendRef: {kind: Service, name: vllm, port: 8000}
---
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: LLMRoute
metadata:
  name: chat
spec:
  rules:
  - matches:
    - headers: [{name: x-ai-eg-model, value: gpt-5}]
    backendRefs:
    - {name: openai}
  - matches:
    - headers: [{name: x-ai-eg-model, value: llama-4}]
    backendRefs:
    - {name: vllm}
---
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: LLMRoute
metadata:
  name: broken
spec:
  rules:
  - matches:
    - headers: [{name: x-ai-eg-model, value: gpt-5-mini}]
    backendRefs:
    - {name: opnai}
"""
_INTRO = f"""\
# At the terminal

What `kubectl` says of the manifest below, in which one backend's name is mistyped. The page comes from a test that runs
on a real API server, `e2e/cluster/test_transcript.py`; with `{_WRITE}=1` it writes the page anew.
[status.md](status.md) says what each condition means and what to do about it.

```yaml
{_MANIFEST}```
"""


def test_the_page(control_plane: ControlPlane, tmp_path: Path) -> None:
    """The page in docs/ is what kubectl prints of a good and of a broken route."""
    if control_plane.programs.version != _VERSION:
        pytest.skip("kubectl explain looks different with another version of the API server")
    api = control_plane.admin
    with running_stand(control_plane, tmp_path, "team-a") as stand:
        config = control_plane.kubeconfig(tmp_path / "kubectl.yaml", api.token, namespace=stand.namespace)
        kubectl = Kubectl(config)
        ports = [{"name": "http", "port": 8000}]
        metadata = {"name": "vllm", "namespace": stand.namespace}
        api.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": ports}})
        applied = kubectl("apply", "-f", "-", stdin=_MANIFEST)
        until_says(api, "LLMRoute", stand.namespace, "chat", {"Programmed": "True", "Serving": "True"}, 30)
        until_says(api, "LLMRoute", stand.namespace, "broken", {"ResolvedRefs": "False", "Serving": "True"}, 30)
        for name in ("openai", "vllm"):
            until_says(api, "LLMBackend", stand.namespace, name, {"Serving": "True"}, 30)
        until(lambda: "BackendNotFound" in kubectl("describe", "llmr", "broken").partition("Events:")[2], "no Event")
        commands = {
            "kubectl get llmr,llmb": kubectl("get", "llmr,llmb"),
            "kubectl describe llmr broken": kubectl("describe", "llmr", "broken"),
            "kubectl explain llmroute.spec.rules": kubectl("explain", "llmroute.spec.rules"),
        }
        for kind in ("LLMRoute", "LLMBackend"):
            api.delete_all(kind, stand.namespace)
    said = {"kubectl apply -f chat.yaml": applied, **commands}
    blocks = [f"```console\n$ {command}\n{_settled(text)}```\n" for command, text in said.items()]
    page = "\n".join([_INTRO, *blocks])

    if os.environ.get(_WRITE):
        PAGE.write_text(page)
    assert page == PAGE.read_text()
    assert len(list(yaml.safe_load_all(_MANIFEST))) == applied.count("created")


def _settled(text: str) -> str:
    """Without what is another one each time: ages, times, versions, hashes."""
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "2026-11-23T02:00:00Z", text)
    text = re.sub(r"(?m)(\s)\d+s( |$)", r"\g<1>5s\2", text)
    text = re.sub(r"(Resource Version: +)\d+", r"\g<1>1234", text)
    text = re.sub(r"(UID: +)\S+", r"\g<1>0b5c7f1e-7d1c-4f2b-9a55-3f1d2c6e8a90", text)
    text = re.sub(r"part [0-9a-f]{12}", "part 274d4f28f86d", text)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
