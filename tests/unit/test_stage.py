"""Folded changes as COPY takes them."""

from sinks.fold import Change, Lane, fold
from sinks.row_codec import RowCodec
from sinks.stage import render, render_stage
from tillstream.envelope import ORIGIN, ChangeEvent, DeclaredColumn, LaneBatch, Source, Stamp, TableVersion


def _table(key: str) -> RowCodec:
    columns = (
        DeclaredColumn(name="id", type_name=key, position=1),
        DeclaredColumn(name="note", type_name="TEXT", position=2),
    )
    version = TableVersion(
        store="s1", database="pos", table="photo", since=Stamp(1, 1, 4), columns=columns, primary_key=("id",)
    )
    return RowCodec(version, None)


def _insert(pos: int, **image: object) -> ChangeEvent:
    source = Source(file="mysql-bin.000001", pos=pos, ts_us=0, db="pos", table="photo")
    return ChangeEvent(source=source, op="c", after=image)


def test_a_key_of_bytes_is_escaped_though_no_text_is_odd() -> None:
    """Its text form has backslashes that no event shows; unescaped, COPY would read other bytes or refuse the row."""
    codec = _table("VARBINARY")
    event = _insert(4, id="AP8=", note=None)
    rows = {("s1", codec.pk_of({"id": "AP8="})): Change(codec, Stamp(1, 1, 4), event)}
    stage, refused = render_stage(rows, odd_text=False)
    assert refused == []
    assert b"".join(stage.chunks).split(b"\t")[:4] == [rb"\\x00ff", rb"\N", b"s1", rb"b'\\x00\\xff'"]


def test_rows_are_written_in_the_order_of_their_keys() -> None:
    """The upsert locks them as they come: without one order for all, two transactions could wait for each other."""
    codec = _table("BIGINT")
    events = [_insert(pos, id=key, note=None) for pos, key in enumerate((2, 10, 1), start=4)]
    batch = LaneBatch(store="s1", epoch=1, events=events, resume=None, odd_text=False)
    lane = Lane(store="s1", stamp=ORIGIN, codecs={("pos", "photo"): codec})
    (stage,) = render(fold([batch], {"s1": lane}))
    assert [line.split(b"\t")[0] for line in b"".join(stage.chunks).splitlines()] == [b"1", b"10", b"2"]


def test_a_row_whose_key_cannot_be_read_is_set_aside_where_it_is_the_only_one() -> None:
    codec = _table("VARBINARY")
    batch = LaneBatch(store="s1", epoch=1, events=[_insert(4, note="?")], resume=None, odd_text=False)
    folded = fold([batch], {"s1": Lane(store="s1", stamp=ORIGIN, codecs={("pos", "photo"): codec})})
    assert render(folded) == []
    assert len(folded.dead_letters) == 1
