"""Collects the comments of the contract, by the full name of the commented element."""

from collections.abc import Iterable, Iterator

from google.protobuf import descriptor_pb2 as pb

# Numbers of the repeated fields in descriptor.proto: a location's path is a walk along them.
_FILE = {4: "message_type", 5: "enum_type", 6: "service"}
_INSIDE = {
    pb.DescriptorProto: {2: "field", 3: "nested_type", 4: "enum_type", 8: "oneof_decl"},
    pb.EnumDescriptorProto: {2: "value"},
    pb.ServiceDescriptorProto: {2: "method"},
}


def comments_of(files: Iterable[pb.FileDescriptorProto]) -> dict[str, str]:
    """Full name: comment, a paragraph a line, of every message, field, enum, value, service and RPC that has one."""
    found: dict[str, str] = {}
    for file in files:
        for location in file.source_code_info.location:
            text = location.leading_comments
            name = _name(file, location.path)
            if text.strip() and name:
                found[name] = "\n".join(_paragraphs(text))
    return dict(sorted(found.items()))


def _name(file: pb.FileDescriptorProto, path: Iterable[int]) -> str:
    names, here, steps = [file.package], file, iter(path)
    for step in steps:
        kinds = _FILE if isinstance(here, pb.FileDescriptorProto) else _INSIDE.get(type(here), {})
        if step not in kinds:
            return ""  # an option, or the package itself
        here = getattr(here, kinds[step])[next(steps)]
        names.append(here.name)
    return ".".join(names) if len(names) > 1 else ""


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.split("\n \n"):
        yield " ".join(paragraph.split())
