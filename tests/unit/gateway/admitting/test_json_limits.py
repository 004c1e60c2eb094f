"""Which texts are read as JSON, and which are refused before a value is made of them."""

import time

import pytest

from relay_server.gateway.admitting.json_limits import BadJson, JsonLimits, read_json

LIMITS = JsonLimits(depth=5, values=20)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b" {} ", {}),
        (b'{"a":[1,-2.5,true,false,null,"x"]}', {"a": [1, -2.5, True, False, None, "x"]}),
        (b"[[[[[]]]]]", [[[[[]]]]]),
        (b'"[[[[[[[[[[[[[[,,,,,,,,,,,,,,,,,,,,,"', "[" * 14 + "," * 21),
        (b'["\\"[[[[[["]', ['"[[[[[[']),
        ('"ä\\u00e4\\ud83d\\ude00"'.encode(), "ää😀"),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b"1e308", 1e308),
    ],
)
def test_values_are_read(raw: bytes, value: object) -> None:
    assert read_json(raw, LIMITS) == value


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "at line 1 column 1"),
        (b'{"a":1,}', "line 1 column"),
        (b"{'a':1}", "line 1 column 2"),
        (b'{"a":\n 1 2}', "line 2 column 4"),
        (b"{} {}", "Extra data at line 1 column 4"),
        (b'"\n"', "control character at line 1 column 2"),
        (b"NaN", "NaN"),
        (b"[Infinity]", "Infinity"),
        (b"-Infinity", "-Infinity"),
        (b"1e999", "too large: 1e999"),
        (b"9" * 1001, "more than 1000 digits"),
        (b"0." + b"1" * 1001, "more than 1000 digits"),
        (b'{"a":1,"b":2,"a":3}', "'a' twice"),
        (b'{"a":1,"\\u0061":3}', "'a' twice"),
        (b"[[[[[[1]]]]]]", "more than 5 deep, at line 1 column 6"),
        (b"[\n[[[[{}]]]]]", "more than 5 deep, at line 2 column 5"),
        (b"[" + b"1," * 30 + b"1]", "more than 20 values"),
        (b'"\xff"', "not UTF-8 at byte 2"),
        (b'"\xed\xa0\x80"', "not UTF-8 at byte 2"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\udc00":1}', "surrogate"),
        (b"\xef\xbb\xbf{}", "line 1 column 1"),
        (b"[[[[[[" + b'"', "deep"),
    ],
)
def test_bad_texts_are_refused(raw: bytes, text: str) -> None:
    with pytest.raises(BadJson, match=text):
        read_json(raw, LIMITS)


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * (6 << 20),
        b'{"a":' * (1 << 20),
        b"[]," * (2 << 20),
        b'["' + b'\\"' * (3 << 20),
        b'"' * (6 << 20),
        b'["' + b'\\"' * (1 << 20) + b"[" * 65 + b"\\",
        b'""' * 2_700_000 + b"," * 200_001,
        b"]" * 5_700_000 + b"," * 200_001,
        b'"":' * 1_800_000 + b"," * 200_001,
        b"[" + b'"",' * 1_900_000,
        b"{" + b"".join(b'"%d":1,' % i for i in range(199_000)) + b'"x":1,"x":1}',
    ],
)
def test_a_large_hostile_body_is_refused_soon(raw: bytes) -> None:
    started = time.process_time()
    with pytest.raises(BadJson):
        read_json(raw, JsonLimits())
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "raw", [b'{"a":"b","c":["d",{"e":"f"},"g"],"h":"[,]"}', b'["a","b"]', b'"a"', b' { "a" : "b" } ']
)
def test_no_more_values_are_counted_than_there_are(raw: bytes) -> None:
    """Within values as many as brackets and commas, JSON of any shape is read."""
    text = raw.decode()
    marks = sum(text.replace("[,]", "").count(mark) for mark in "[{,")
    assert read_json(
        raw, JsonLimits(depth=1, values=1000) if marks == 1 else JsonLimits(depth=3, values=marks + 1)
    )
    if marks:
        with pytest.raises(BadJson, match="values"):
            read_json(raw, JsonLimits(depth=3, values=marks))
