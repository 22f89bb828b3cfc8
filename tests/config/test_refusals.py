"""Files that must be refused, each with everything that is wrong with it, word for word."""

import pytest

from extproc.config.errors import ConfigError
from extproc.config.loader import load
from extproc.config.names import CLIENT_DIALECTS, PLATFORMS
from extproc.routing.index import compile_index

TOP = "backendRoutingHeaderKey, backends, inputSchema, modelNameHeaderKey, pathPrefix, revision, rules, version"
MAPPING = "the top level must be a mapping of fields, such as rules: [...]"
PATH = "empty, or segments of letters, digits and ._~- with / before each, none at the end"
RULE_FIELDS = (
    "backends, clientAuth, created, headers, hostnames, inputSchema, matches, name, ownedBy, refusal, source, "
    "stickiness"
)
NAME = "visible ASCII, no space at either end"
SCHEMAS = f"{', '.join(list(PLATFORMS)[:-1])} or {list(PLATFORMS)[-1]}"
CLIENTS = " or ".join(CLIENT_DIALECTS)

UNKNOWN = "in backends, and no outputSchema here; add one of the two"
HOST = "lower-case letters, digits, hyphens, dots, *. in front for any one label, no port"


def rule(text: str) -> str:
    """A file with one rule, written in YAML's flow style in line 2."""
    return f"rules:\n- {{{text}}}\n"


def backend(text: str) -> str:
    """A file with one rule whose one backend is given."""
    return rule(f"backends: [{{{text}}}]")


def header(text: str) -> str:
    """A file with one rule that has one header match."""
    return rule(f"headers: [{{{text}}}]")


#: Where the helpers put things.
RULE, BACKEND, HEADER = "rules[0]", "rules[0].backends[0]", "rules[0].headers[0]"
REGEX = "name: x, type: RegularExpression"
AN_OPEN_ONE = f"{{value: (, {REGEX}}}"
LOOK_AHEAD = f"{{value: 'a(?=b)', {REGEX}}}"
OPENAI = "outputSchema: {schema: OpenAI}"

CASES: list[tuple[str, list[str]]] = [
    # The whole.
    ("# nothing but a comment", [MAPPING]),
    ("[]", [MAPPING]),
    ("just text", [MAPPING]),
    # YAML and JSON themselves.
    ("a: [1", ["line 1: not valid YAML: did not find expected ',' or ']' while parsing a flow sequence"]),
    ("a: 'x", ["line 1: not valid YAML: found unexpected end of stream while scanning a quoted scalar"]),
    ("rules:\n\t- name: x", ["line 2: not valid YAML: a tab where YAML wants spaces"]),
    ("revision: 1\n version: 1", ["line 2: not valid YAML: mapping values are not allowed in this context"]),
    ("rules: @x", ['line 1: not valid YAML: "@" cannot begin a value; put the value in quotes']),
    ("a: 1\nb: \x01", ["line 2: not valid YAML: control character U+0001"]),
    ("rules: []\n---\nrules: []", ["line 2: a second document begins here; the file holds one"]),
    ("rules: *x", ["rules: the alias *x has no anchor above it, line 1"]),
    ("rules:\n- &a\n  hostnames: [*a]", ["rules[0].hostnames: the alias *a refers to the value that it is in, line 3"]),
    ("? [a]\n: 1", ["line 1: a key must be text, not a list or a mapping"]),
    ("revision: &a 1\n*a : 1", ["line 2: a key must be written out, not be an alias"]),
    ("<<: {revision: 1}", ["line 1: merge keys (<<) are not supported; write the fields out"]),
    ("rules: !x []", ['rules: the tag "!x" is not supported; write the plain value, line 1']),
    (
        "revision: !!python/name:os.system x",
        ['revision: the tag "tag:yaml.org,2002:python/name:os.system" is not supported; write the plain value, line 1'],
    ),
    (f"rules: {'[' * 70}", ["line 1: nested more than 64 levels deep"]),
    ('{"rules": ' + "[" * 100_000, ["not valid JSON: nested too deeply"]),
    ('{"rules": [}', ["line 1: not valid JSON: Expecting value (column 12)"]),
    ('{\n"rules": [\n', ["line 3: not valid JSON: Expecting value (column 1)"]),
    ('{"revision": ' + "9" * 5000 + "}", ["revision: must be a whole number, not the number inf"]),
    ('{"revision": NaN}', ["revision: must be a whole number, not text"]),
    (
        '{"\\ud800": 1, "rules": [{"source": "\\udc00x"}]}',
        [
            '["\\ud800"]: holds half of a surrogate pair, which is not a character',
            "rules[0].source: holds half of a surrogate pair, which is not a character",
        ],
    ),
    # Keys.
    (
        "revision: 1\nrules: []\nrevision: 2\nrevision: x",
        [
            "revision: appears twice, first in line 1; keep one, line 3",
            "revision: appears twice, first in line 1; keep one, line 4",
            "revision: must be a whole number, not text, line 4",
        ],
    ),
    (
        "rules: [&a {}, &a {hostnames: *a}]",
        ["rules[1].hostnames: the alias *a refers to the value that it is in, line 1"],
    ),
    (
        backend(f"name: a, {OPENAI}, name: b, wait: 1"),
        [
            f"{BACKEND}.name: appears twice, first in line 2; keep one, line 2",
            f'{BACKEND}.wait: unknown field (did you mean "weight"?), line 2',
        ],
    ),
    (
        '{"rules":[{"name":"a","hostnames":[],"name":"b"}],"rules":[{"source":"a","source":"b","source":"c"}]}',
        ["rules: appears twice; keep one", "rules[0].source: appears twice; keep one"],
    ),
    (
        "1: x",
        ['["1"]: a key must be text; put it in quotes, line 1', f'["1"]: unknown field; known here are {TOP}'],
    ),
    ("zzz: 1", [f"zzz: unknown field; known here are {TOP}"]),
    ("rule: []", ['rule: unknown field (did you mean "rules"?)']),
    ("inputschema: {schema: OpenAI}", ['inputschema: unknown field (did you mean "inputSchema"?)']),
    (
        backend("name: a, output_schema: 1"),
        [f'{BACKEND}.output_schema: unknown field (did you mean "outputSchema"?), line 2'],
    ),
    (
        rule("model: x"),
        [f"{RULE}.model: unknown field; known here are {RULE_FIELDS}, line 2"],
    ),
    (
        "backends: [{name: a, outputSchema: {schema: GCPAnthropic}}]",
        ["backends[0].gcp: gcp is required when outputSchema.schema is GCPAnthropic"],
    ),
    (
        "backends: [{name: a, outputSchema: {schema: OpenAI}, gcp: {project: p, location: eu}}]",
        ["backends[0].gcp: gcp is for GCPVertexAI and GCPAnthropic only, not for OpenAI"],
    ),
    (
        backend("name: a, outputSchema: {schema: OpenAI, version: v1/../x}"),
        [f"{BACKEND}.outputSchema.version: '.' and '..' are no segments of a version, line 2"],
    ),
    ('{"we.ird\\nkey": 1}', [f'["we.ird\\nkey"]: unknown field; known here are {TOP}']),
    # Values.
    ("version: 3", ["version: this processor reads 1..2, not 3; upgrade extproc first"]),
    (
        "rules: 1\nversion: 99\nfuture: []",
        ["version: this processor reads 1..2, not 99; upgrade extproc first, line 2"],
    ),
    ("version: -1", ["version: this processor reads 1..2, not -1"]),
    ("version: '1'", ["version: must be a whole number, not text; remove the quotes"]),
    ("version: true", ["version: must be a whole number, not true"]),
    ("revision: -1", ["revision: must be 0 or more, not -1"]),
    ("revision: 9007199254740992", ["revision: must be 9,007,199,254,740,991 or less, not 9007199254740992"]),
    ('{"revision": ' + "9" * 4000 + "}", [f"revision: must be 9,007,199,254,740,991 or less, not {'9' * 61}..."]),
    ("revision: 1.0", ["revision: must be a whole number, not the number 1.0"]),
    ("rules: {}", ["rules: must be a list, not a mapping"]),
    ("rules:", ["rules: must be a list, not nothing; leave the field out instead"]),
    ("rules: x", ["rules: must be a list, not text"]),
    (
        "rules: [5, []]",
        [
            "rules[0]: must be a mapping of fields, not the number 5",
            "rules[1]: must be a mapping of fields, not a list",
        ],
    ),
    ("inputSchema: OpenAI", ["inputSchema: must be a mapping of fields, not text"]),
    ("inputSchema: {}", ["inputSchema.schema: is required"]),
    (
        "inputSchema: {schema: OpenAi}",
        [f'inputSchema.schema: must be {CLIENTS}, not "OpenAi" (did you mean "OpenAI"?)'],
    ),
    ("inputSchema: {schema: AWSBedrock}", [f'inputSchema.schema: must be {CLIENTS}, not "AWSBedrock"']),
    ("inputSchema: {schema: 5}", ["inputSchema.schema: must be text, not the number 5; put it in quotes"]),
    (
        "pathPrefix: /api/",
        [f'pathPrefix: "/api/" is not a path: {PATH}'],
    ),
    (
        "backendRoutingHeaderKey: X-AI-EG-Model",
        ["backendRoutingHeaderKey: is a header of the model; the backend needs one of its own"],
    ),
    (
        "backendRoutingHeaderKey: x-one\nmodelNameHeaderKey: X-One",
        ["backendRoutingHeaderKey: is a header of the model; the backend needs one of its own, line 1"],
    ),
    (
        backend("name: x, outputSchema: {schema: bedrock}"),
        [f'{BACKEND}.outputSchema.schema: must be {SCHEMAS}, not "bedrock" (did you mean "AWSBedrock"?), line 2'],
    ),
    (
        backend("name: x, outputSchema: {schema: OpenAI, version: 'v1?x'}"),
        [f'{BACKEND}.outputSchema.version: "v1?x" is not a path segment: letters, digits and ._~/-, line 2'],
    ),
    (backend(f"name: x, wieght: 3, {OPENAI}"), [f'{BACKEND}.wieght: unknown field (did you mean "weight"?), line 2']),
    (backend(f"name: x, weight: -1, {OPENAI}"), [f"{BACKEND}.weight: must be 0 or more, not -1, line 2"]),
    (
        backend(f"name: x, weight: 1000001, {OPENAI}"),
        [f"{BACKEND}.weight: must be 1,000,000 or less, not 1000001, line 2"],
    ),
    (
        backend(f"name: x, weight: '3', {OPENAI}"),
        [f"{BACKEND}.weight: must be a whole number, not text; remove the quotes, line 2"],
    ),
    (
        backend(f"name: x, weight: 1.5, {OPENAI}"),
        [f"{BACKEND}.weight: must be a whole number, not the number 1.5, line 2"],
    ),
    (backend(f"name: x, weight: null, {OPENAI}"), [f"{BACKEND}.weight: must be a whole number, not nothing, line 2"]),
    (backend("weight: 1"), [f"{BACKEND}.name: is required, line 2"]),
    (
        backend(f'name: "a\\nb", {OPENAI}'),
        [f'{BACKEND}.name: "a\\nb" is not a name that fits into a header: {NAME}, line 2'],
    ),
    (
        backend("name: opnai") + "backends:\n- {name: openai, outputSchema: {schema: OpenAI}}\n",
        [f'{BACKEND}.name: no backend "opnai" {UNKNOWN} (did you mean "openai"?), line 2'],
    ),
    (
        rule("backends: [{name: one}, {name: two}]"),
        [f'{RULE}.backends[{i}].name: no backend "{name}" {UNKNOWN}, line 2' for i, name in enumerate(("one", "two"))],
    ),
    (
        "backends:\n" + "- {name: a, outputSchema: {schema: OpenAI}}\n" * 3,
        [f'backends[{i}].name: "a" is used twice; names are unique, line {i + 2}' for i in (1, 2)],
    ),
    (
        "backends:\n- name: a\n  outputSchema: 1\n  capabilities: {topK: x, promptCach: true, promptCache: yes}",
        [
            'backends[0].capabilities.promptCach: unknown field (did you mean "promptCache"?), line 4',
            "backends[0].capabilities.promptCache: must be true or false, not text, line 4",
            'backends[0].capabilities.topK: must be none or plain or nova, not "x", line 4',
            "backends[0].outputSchema: must be a mapping of fields, not the number 1, line 3",
        ],
    ),
    (
        rule("headers: [], matches: [{}]"),
        [f"{RULE}: headers and matches are two forms of one thing; keep matches, line 2"],
    ),
    (rule("matches: []"), [f"{RULE}.matches: must have 1 or more entries, line 2"]),
    (
        rule(f"headers: [{', '.join(['{name: x, value: y}'] * 17)}]"),
        [f"{RULE}.headers: has 17 entries; at most 16, line 2"],
    ),
    (
        header("name: x y, value: a"),
        [f'{HEADER}.name: "x y" is not a header name: letters, digits and !#$%&\'*+-.^_`|~, line 2'],
    ),
    (
        header("name: '', value: ''"),
        [f"{HEADER}.name: must not be empty, line 2", f"{HEADER}.value: must not be empty, line 2"],
    ),
    (header("name: x, value: true"), [f"{HEADER}.value: must be text, not true; put it in quotes, line 2"]),
    (header("name: x, value: 1.10"), [f"{HEADER}.value: must be text, not the number 1.1; put it in quotes, line 2"]),
    (header(f"name: x, value: {'v' * 4097}"), [f"{HEADER}.value: is 4,097 characters long; at most 4,096, line 2"]),
    (
        header("name: x, value: a, type: exact"),
        [f'{HEADER}.type: must be Exact or RegularExpression, not "exact" (did you mean "Exact"?), line 2'],
    ),
    (
        header("name: x, value: a, type: Prefix"),
        [f'{HEADER}.type: must be Exact or RegularExpression, not "Prefix", line 2'],
    ),
    (
        header("name: x, value: a, type: 3"),
        [f"{HEADER}.type: must be Exact or RegularExpression, not the number 3, line 2"],
    ),
    (
        rule("hostnames: [API.example.com]"),
        [f'{RULE}.hostnames[0]: "API.example.com" is not a host name: {HOST}, line 2'],
    ),
    (
        rule("hostnames: ['*', 'a:80']"),
        [f'{RULE}.hostnames[{i}]: "{h}" is not a host name: {HOST}, line 2' for i, h in enumerate(("*", "a:80"))],
    ),
    (rule("hostnames: a.example.com"), [f"{RULE}.hostnames: must be a list, not text, line 2"]),
    (
        "rules:\n- &a {name: x, refusal: r}\n- *a\n- <<: *a\n",
        ["rules[2]: merge keys (<<) are not supported; write the fields out, line 4"],
    ),
    # Regular expressions, which the index finds.
    (
        "rules:\n- matches: [{}, {headers: ["
        + AN_OPEN_ONE
        + "]}]\n- headers: ["
        + LOOK_AHEAD
        + ", "
        + AN_OPEN_ONE
        + "]",
        [
            "rules[0].matches[1].headers[0].value: not a regular expression of RE2: missing ): (",
            "rules[1].headers[0].value: not a regular expression of RE2: invalid perl operator: (?=",
            "rules[1].headers[1].value: not a regular expression of RE2: missing ): (",
        ],
    ),
    (
        header("name: x, value: '\\pL{1,1000}', type: RegularExpression"),
        [f"{HEADER}.value: not a regular expression of RE2: pattern too large - compile failed"],
    ),
    (
        header(r'name: x, value: "(\n", type: RegularExpression'),
        [f'{HEADER}.value: not a regular expression of RE2: "missing ): (\\n"'],
    ),
]


@pytest.mark.parametrize(("text", "findings"), CASES, ids=range(len(CASES)))
def test_every_finding_is_reported_word_for_word(text: str, findings: list[str]) -> None:
    """A wrong file is refused with the path, the reason, the likely right word and the line of each fault, sorted."""
    with pytest.raises(ConfigError) as refused:
        compile_index(load(text.encode()))

    assert [str(finding) for finding in refused.value.findings] == findings
    assert str(refused.value) == "\n".join(findings)


def test_a_long_list_is_shown_in_part_and_kept_whole() -> None:
    """Two dozen faults are all there for programs, and twenty of them for people, in the order of the file."""
    text = "rules:\n" + "- {created: x}\n" * 24

    with pytest.raises(ConfigError) as refused:
        load(text.encode())

    assert [f.path for f in refused.value.findings] == [f"rules[{i}].created" for i in range(24)]
    assert [f.line for f in refused.value.findings] == list(range(2, 26))
    assert str(refused.value).splitlines()[19:] == [str(refused.value.findings[19]), "and 4 more"]
