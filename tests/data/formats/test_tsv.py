"""TSV tables."""

from mite_tf.data.readers import read


def test_quotes_only_count_where_they_are_well_formed(write):
    text = (
        "image\tcaption\tsplit\r\n"
        'a.jpg\t"Hello" he said\ttrain\r\n'
        'a.jpg\t"a\ttab"\ttrain\r\n'
        'a.jpg\t"open\ttrain\r\n'
        "a.jpg\tcommas, and ; too\ttrain\r\n"
    )
    table = read(write({"c.tsv": text}))
    assert table.captions == ['"Hello" he said', "a\ttab", '"open', "commas, and ; too"]
    assert table.problems == ()


def test_a_bare_tab_in_a_caption_is_told(write, told):
    table = read(write({"c.tsv": "image\tcaption\na.jpg\tA\ttab\nb.jpg\tB\n"}))
    assert table.image_ids == ["b.jpg"]
    assert told(table) == [("malformed-row", "c.tsv", 2)]
