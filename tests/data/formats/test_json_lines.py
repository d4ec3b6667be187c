"""JSON Lines."""

import json

from mite_tf.data import read


def test_one_or_many_captions_a_line(write, rows):
    lines = [
        {"image": "a.jpg", "captions": ["One.", "二 🐕"], "split": "train"},
        {"image": "b.jpg", "caption": "Three.", "split": "val", "source": "web"},
        {"image": "a.jpg", "caption": ["Four."], "split": "train"},
    ]
    text = "\ufeff" + "\r\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    assert rows(read(write({"c.jsonl": text}))) == [
        ("a.jpg", ["One.", "二 🐕", "Four."], "train"),
        ("b.jpg", ["Three."], "dev"),
    ]


def test_bad_lines_are_told_and_left_out(write, told):
    text = (
        b'{"image": "a.jpg", "caption": "Fine."}\n'
        b'{"image": "a.jpg", "caption": }\n'
        b'["a.jpg", "List."]\n'
        b'{"image": 5, "caption": "Number."}\n'
        b'{"image": "b.jpg", "captions": [1]}\n'
        b'{"image": "c.jpg"}\n'
        b'{"image": "d.jpg", "caption": null}\n'
        b'{"image": "e.jpg", "caption": "E.", "split": 1}\n'
        b'{"image": "f.jpg", "caption": "\xff"}\n'
        b'{"image": "\\ud800.jpg", "caption": "Half."}\n'
    )
    table = read(write({"c.jsonl": text}))
    assert table.image_ids == ["a.jpg"]
    assert told(table) == [
        ("bad-encoding", "c.jsonl", 9),
        ("broken-json", "c.jsonl", 2),
        ("malformed-row", "c.jsonl", 3),
        ("malformed-row", "c.jsonl", 4),
        ("malformed-row", "c.jsonl", 5),
        ("malformed-row", "c.jsonl", 7),
        ("malformed-row", "c.jsonl", 8),
        ("bad-encoding", "c.jsonl", 10),
        ("no-captions", "c.jsonl", 6),
    ]
    assert "column 31" in table.problems[1].message
    "\n".join(map(str, table.problems)).encode()
