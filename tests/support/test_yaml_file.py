import pytest

from eennc.support.diagnostics import UserError
from eennc.support.yaml_file import parse_yaml, read_yaml


def test_plain_values():
    text = "a: [1, 1e-3, yes, true, .inf, null, 2020-01-01]\nb: {c: 'x y', 3: z}\n"
    found = parse_yaml(text, "f").content
    assert found == {"a": [1, 0.001, "yes", True, float("inf"), None, "2020-01-01"], "b": {"c": "x y", "3": "z"}}
    assert parse_yaml("# nothing\n", "f").content is None


def test_places():
    file = parse_yaml("a: 1\nb:\n  - cd: {ef: 12}\n  - x\n", "f")
    assert str(file.place(("b", 0, "cd", "ef"))) == "f:3:14"
    assert str(file.key_place(("b", 0, "cd", "ef"))) == "f:3:10"
    assert str(file.key_place(("b", 1))) == "f:4:5"
    # what is not there is shown at what is around it
    assert str(file.place(("b", 0, "nothing"))) == "f:3:5"
    place = file.key_place(("b", 0, "cd"))
    assert UserError("wrong", place=place).render() == "f:3:5: error: wrong\n  3 |   - cd: {ef: 12}\n    |     ^^"


def test_anchors_and_merges():
    file = parse_yaml("base: &b {x: 1, y: 2}\nmore:\n  <<: *b\n  y: 3\nsame: *b\n", "f")
    assert file.content == {"base": {"x": 1, "y": 2}, "more": {"x": 1, "y": 3}, "same": {"x": 1, "y": 2}}
    assert str(file.place(("same", "x"))) == "f:1:14"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "f:2:1: error: 'a' is given twice"),
        ("a: [1,\n", "f:2:1: error: not valid YAML: expected the node content, but found '<stream end>'"),
        ("a: b: c", "f:1:5: error: not valid YAML: mapping values are not allowed here"),
        ("a:\n\t- b", "f:2:1: error: not valid YAML: found character '\\t' that cannot start any token"),
        ("a: *q", "f:1:4: error: not valid YAML: found undefined alias 'q'"),
        ("a: &x [*x]", "f:1:4: error: an alias that contains itself"),
        ("--- 1\n--- 2\n", "f:2:1: error: not valid YAML: but found another document"),
        ("a: !!python/object:os.x 1", "f:1:4: error: not valid YAML: could not determine a constructor"),
        ("? [1]\n: 2", "f:1:3: error: a key must be a word"),
        ("a: \x07", "f: error: not valid YAML: special characters are not allowed"),
    ],
)
def test_what_is_not_plain_yaml(text, message):
    with pytest.raises(UserError) as error:
        parse_yaml(text, "f")
    assert error.value.render().startswith(message)


def test_aliases_that_multiply_are_stopped():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    with pytest.raises(UserError, match="more than 100,000 entries"):
        parse_yaml("\n".join(lines), "f")


def test_files(tmp_path):
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert read_yaml(path).content == {"a": 1, "b": 2}
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(UserError, match=r"f\.yaml:2: error: the file is not UTF-8 text"):
        read_yaml(path)
    with pytest.raises(UserError, match="no such file"):
        read_yaml(tmp_path / "g.yaml")
    with pytest.raises(UserError, match="this is a folder"):
        read_yaml(tmp_path)
