"""Every example is what it says: valid, and once its backends are local ones, every rule of it is driven."""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import openai
import pytest
from click.testing import CliRunner

from controller.cli import main
from controller.standalone.demo import MANIFEST
from controller.standalone.manifests import read_manifests
from extproc.config.names import MODEL_HEADERS
from extproc.config.schema import Match, Rule
from tests.support.gateway import RunningGateway, backend, route, rule, running_gateway, translation_of
from tests.support.scripted import COMPLETION, CONVERSE_ANSWER, chunk, frame, frames_reply
from tests.support.sdk import sdk, text_of, user
from tests.support.upstreams import Received, Reply, Upstream, json_reply, running_upstream, sse_reply

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("examples")]

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "examples").glob("**/*.yaml"))
#: A value for each pattern that examples match with; a new pattern needs a line here.
SAMPLES: Mapping[str, str] = {}
#: So many double tries meet a backend that has a hundredth of the traffic, but for one run in 10^17.
TRIES = 2000

STREAMS = {
    "OpenAI": sse_reply([chunk("hello"), chunk(finish="stop")]),
    "AWSBedrock": frames_reply(
        frame("messageStart", role="assistant"),
        frame("contentBlockDelta", contentBlockIndex=0, delta={"text": "hello"}),
        frame("contentBlockStop", contentBlockIndex=0),
        frame("messageStop", stopReason="end_turn"),
        frame("metadata", usage=CONVERSE_ANSWER["usage"], metrics={"latencyMs": 1}),
    ),
}


def of_the_readme() -> Iterator[tuple[str, str]]:
    """The manifests that the README shows, as they stand there."""
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)):
        yield f"README.md block {number}", block


EXAMPLES = {str(file.relative_to(ROOT)): file.read_text() for file in FILES} | dict(of_the_readme())
each_example = pytest.mark.parametrize("text", EXAMPLES.values(), ids=EXAMPLES)


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    """A gateway to load the examples into."""
    with running_gateway([route(rule("nothing", "nobody")), backend("nobody", 1)]) as gateway:
        yield gateway


def answer(request: Received) -> Reply:
    """A greeting, in the dialect and the form that the request asks for."""
    if request.path.startswith("/model/"):
        return STREAMS["AWSBedrock"] if request.path.endswith("-stream") else json_reply(CONVERSE_ANSWER)
    return STREAMS["OpenAI"] if request.json.get("stream") else json_reply(COMPLETION)


def localised(text: str, stack: ExitStack) -> tuple[list[Mapping[str, Any]], dict[str, Upstream]]:
    """The example with an upstream of ours in the place of each backend's, and these by the backend's full name."""
    upstreams: dict[str, Upstream] = {}

    def local(document: Mapping[str, Any]) -> Mapping[str, Any]:
        if document["kind"] != "LLMBackend":
            return document
        upstream = stack.enter_context(running_upstream())
        upstream.answer_with(answer)
        metadata = document["metadata"]
        upstreams[f"{metadata.get('namespace', 'default')}/{metadata['name']}"] = upstream
        spec = {name: value for name, value in document["spec"].items() if name != "backendRef"}
        return {**document, "spec": {**spec, "endpoint": backend("local", upstream.port)["spec"]["endpoint"]}}

    objects = read_manifests(["example.yaml"], lambda _: text.encode()).objects
    return [local(document) for document in objects], upstreams


def request_for(rule: Rule, match: Match) -> tuple[str, dict[str, str]]:
    """A model and headers that the match asks for."""
    wanted = {
        header.name: SAMPLES[header.value] if header.type == "RegularExpression" else header.value
        for header in match.headers
    }
    models = [wanted.pop(name) for name in MODEL_HEADERS if name in wanted]
    hosts = {"host": rule.hostnames[0].replace("*", "any")} if rule.hostnames else {}
    return (models or ["any-model"])[0], wanted | hosts


@each_example
def test_an_example_is_valid(text: str) -> None:
    """``llmroute validate`` has nothing to say about it, and everything in it is accepted and resolved."""
    done = CliRunner().invoke(main, ["validate", "-"], input=text)

    assert (done.exit_code, done.stdout) == (0, "")
    conditions = [
        (condition.type, condition.status)
        for status in translation_of(text).statuses
        for condition in status.conditions
        if condition.type in {"Accepted", "ResolvedRefs"}
    ]
    assert conditions
    assert {status for _, status in conditions} == {"True"}


@each_example
def test_an_example_serves_what_it_says(gateway: RunningGateway, text: str) -> None:
    """Each match of each rule is answered, whole and streamed, and each backend with a weight gets traffic."""
    with ExitStack() as stack:
        documents, upstreams = localised(text, stack)
        gateway.reload(documents)
        client = stack.enter_context(sdk(gateway.base_url))
        for served in translation_of(documents).config.rules:
            for match in served.alternatives:
                for upstream in upstreams.values():
                    upstream.forget()
                drive(client, *request_for(served, match))
                waiting = {choice.name for choice in served.backends if choice.weight}
                for _ in range(TRIES):
                    waiting -= {name for name in waiting if upstreams[name].received}
                    if not waiting:
                        break
                    drive(client, *request_for(served, match))
                assert waiting == set()


def drive(client: openai.OpenAI, model: str, headers: dict[str, str]) -> None:
    """A chat, whole and streamed."""
    chat = client.chat.completions
    whole = chat.create(model=model, messages=user("hello"), extra_headers=headers)
    streamed = chat.create(model=model, messages=user("hello"), extra_headers=headers, stream=True)

    assert whole.choices[0].message.content == text_of(streamed) == "hello"


def test_the_demo_is_an_example() -> None:
    """``llmroute run --demo`` runs what the example shows, byte for byte."""
    assert (ROOT / "examples" / "demo.yaml").read_text() == MANIFEST.read_text()


def test_no_file_of_the_examples_is_left_out() -> None:
    """Whatever lies among the examples is one of those that are tested."""
    assert FILES
    assert {path for path in (ROOT / "examples").rglob("*") if path.is_file()} == set(FILES)
