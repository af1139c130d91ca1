"""Folded changes as COPY takes them."""

from sinks.fold import Change
from sinks.row_codec import RowCodec
from sinks.stage import render_stage
from tillstream.envelope import ChangeEvent, DeclaredColumn, Source, Stamp, TableVersion


def test_a_key_of_bytes_is_escaped_though_no_text_is_odd() -> None:
    """Its text form has backslashes that no event shows; unescaped, COPY would read other bytes or refuse the row."""
    version = TableVersion(
        store="s1",
        database="pos",
        table="photo",
        since=Stamp(1, 1, 4),
        columns=(DeclaredColumn(name="id", type_name="VARBINARY", position=1),),
        primary_key=("id",),
    )
    codec = RowCodec(version, None)
    image = {"id": "AP8="}
    event = ChangeEvent(source=Source(file="mysql-bin.000001", pos=4, ts_us=0), op="c", after=image)
    change = Change(codec, Stamp(1, 1, 4), event)
    stage, refused = render_stage({("s1", codec.pk_of(image)): change}, odd_text=False)
    assert refused == []
    assert b"".join(stage.chunks).split(b"\t")[:3] == [rb"\\x00ff", b"s1", rb"b'\\x00\\xff'"]
