"""What `doctor` and `run` conclude from a server's settings: exactly what is wrong, and the line that mends it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from catalog import a_server, a_store

from connectors.examination import BinlogFile, Clock, Head, version_of
from connectors.findings import (
    Finding,
    Level,
    duration,
    of_binlogs,
    of_clock,
    of_reach,
    of_reader,
    of_server,
    of_xa,
    retention_hours,
    what_forbids_capture,
)
from connectors.rights import rights_of

NOW = datetime(2026, 11, 23, tzinfo=UTC)
IN_STEP = Clock(offset_seconds=0.01, uncertainty_seconds=0.001, utc_offset_seconds=8 * 3600)


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def test_a_fit_server_gives_no_finding() -> None:
    """Silence means that nothing is wrong, so that a finding means something."""
    assert of_server(a_store(), a_server()) == []


@pytest.mark.parametrize(
    ("settings", "subject", "line"),
    [
        ({"log_bin": "OFF"}, "log_bin", "log-bin = mysql-bin"),
        ({"binlog_format": "STATEMENT"}, "binlog_format", "binlog_format = ROW"),
        ({"binlog_format": "MIXED"}, "binlog_format", "binlog_format = ROW"),
        ({"binlog_row_image": "MINIMAL"}, "binlog_row_image", "binlog_row_image = FULL"),
        ({"binlog_row_image": "NOBLOB"}, "binlog_row_image", "binlog_row_image = FULL"),
        ({"binlog_row_value_options": "PARTIAL_JSON"}, "binlog_row_value_options", "binlog_row_value_options = ''"),
        ({"server_id": "0"}, "server_id", "server-id = 1"),
        ({"log_bin_compress": "ON"}, "log_bin_compress", "log_bin_compress = OFF"),
    ],
)
def test_a_setting_that_loses_rows_is_refused_with_its_line(settings: dict[str, str], subject: str, line: str) -> None:
    """The same findings keep `run` from starting, and the line goes under [mysqld]."""
    found = only(what_forbids_capture(a_store(), a_server(**settings)))
    assert (found.level, found.subject) == (Level.REFUSE, subject)
    assert found.paste == ("[mysqld]", line)


def test_what_a_version_does_not_know_is_not_held_against_it() -> None:
    """MySQL 9 has no binlog_format any more, 5.5 no binlog_row_image: both are as they should be."""
    server = a_server()
    bare = {name: value for name, value in server.variables.items() if not name.startswith("binlog_")}
    assert what_forbids_capture(a_store(), replace(server, variables=bare)) == []


def test_every_missing_right_is_named_with_the_least_grants() -> None:
    """Not the word ALL: the statements grant what is needed and no more."""
    rights = rights_of(["GRANT REPLICATION SLAVE ON *.* TO 'tillstream'@'%'"])
    found = only(what_forbids_capture(a_store(), a_server(rights=rights)))
    assert "lacks SELECT, RELOAD, REPLICATION CLIENT" in found.sentence
    assert found.paste == (
        "GRANT SELECT, LOCK TABLES ON `pos`.* TO 'tillstream'@'%';",
        "GRANT RELOAD, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'tillstream'@'%';",
    )


@pytest.mark.parametrize(
    ("head", "refused"),
    [
        (Head(file="b.1", position=4, ignored_databases=("pos",)), True),
        (Head(file="b.1", position=4, only_databases=("web", "crm")), True),
        (Head(file="b.1", position=4, only_databases=("pos",)), False),
        (Head(file="b.1", position=4, ignored_databases=("web",)), False),
    ],
)
def test_a_binlog_filter_is_refused_only_if_it_leaves_the_store_out(head: Head, refused: bool) -> None:
    """Any other filter is a warning: DDL is filtered by the database it was sent from."""
    found = only(of_server(a_store(), a_server(head=head)))
    assert found.subject == "binlog filters"
    assert found.level is (Level.REFUSE if refused else Level.WARN)
    assert all(line.startswith("binlog-") for line in found.paste)


def test_mariadb_is_as_fit_as_mysql() -> None:
    """Known by the version's text, also where old clients are told 5.5.5; one that was never tried is told."""
    assert of_server(a_store(), a_server(version="5.5.5-10.11.19-MariaDB-log")) == []
    assert only(of_server(a_store(), a_server(version="10.3.39-MariaDB"))).level is Level.WARN
    assert a_server(version="10.11.19-MariaDB", server_uuid="", server_uid="uid-7").uuid == "uid-7"


def test_versions_are_read_from_what_servers_say() -> None:
    """Distributions append words; MariaDB may prepend another version."""
    assert version_of("5.6.24-log").numbers == (5, 6, 24)
    assert version_of("9.7.4-2").numbers == (9, 7, 4)
    assert str(version_of("5.5.5-10.11.19-MariaDB-0ubuntu")) == "MariaDB 10.11.19"
    assert str(version_of("10.11.19-MariaDB")) == "MariaDB 10.11.19"


@pytest.mark.parametrize(
    ("settings", "hours"),
    [
        ({"expire_logs_days": "0"}, None),
        ({"expire_logs_days": "7"}, 168),
        ({"expire_logs_days": "7", "binlog_expire_logs_seconds": "3600"}, 1),
        ({"expire_logs_days": "0", "binlog_expire_logs_seconds": "2592000"}, 720),
        ({"binlog_expire_logs_seconds": "3600", "binlog_expire_logs_auto_purge": "OFF"}, None),
    ],
)
def test_retention_is_what_the_server_goes_by(settings: dict[str, str], hours: float | None) -> None:
    """Seconds before days, and nothing at all where purging is switched off."""
    assert retention_hours(a_server(**settings)) == hours


def test_short_retention_is_a_warning_in_the_servers_own_words() -> None:
    """8.0 and later take seconds, earlier ones days."""
    early = only(of_server(a_store(), a_server(expire_logs_days="1")))
    assert (early.level, early.paste[0]) == (Level.WARN, "SET GLOBAL expire_logs_days = 7;")
    late = only(of_server(a_store(), a_server(binlog_expire_logs_seconds="3600")))
    assert late.paste[0] == "SET GLOBAL binlog_expire_logs_seconds = 604800;"


def test_a_binlog_that_somebody_deletes_is_noticed() -> None:
    """Only if files are gone, and far earlier than the settings say: a young server has a short log, too."""
    server = a_server(expire_logs_days="10")
    gone, first = BinlogFile(name="b.000007", size_bytes=9), BinlogFile(name="b.000001", size_bytes=9)
    assert only(list(of_reach(server, gone, 5.0))).level is Level.WARN
    assert list(of_reach(server, first, 5.0)) == []
    assert list(of_reach(server, gone, 200.0)) == []
    assert list(of_reach(a_server(expire_logs_days="1"), gone, 20.0)) == []


def test_a_binlog_file_over_2_gib_is_a_warning() -> None:
    """Positions have 32 bits."""
    small = BinlogFile(name="b.000001", size_bytes=2**31)
    large = BinlogFile(name="b.000002", size_bytes=2**31 + 1)
    assert list(of_binlogs([small])) == []
    assert "b.000002 has 2.0 GiB" in only(list(of_binlogs([small, large]))).sentence


def test_our_own_reader_id_as_a_servers_id_is_refused() -> None:
    """A server refuses a reader that shows the server's own id."""
    found = only(list(of_reader(a_server(server_id="1600000007"), 1_600_000_007)))
    assert (found.level, found.subject) == (Level.REFUSE, "server_id")


def test_odd_sql_modes_are_told() -> None:
    """ANSI_QUOTES stops a store at the first quoted DDL; without NO_ZERO_DATE and strict mode zero dates come in."""
    found = only(of_server(a_store(), a_server(sql_mode="ANSI_QUOTES,STRICT_TRANS_TABLES,NO_ZERO_DATE")))
    assert (found.level, found.paste) == (
        Level.WARN, ("SET GLOBAL sql_mode = 'STRICT_TRANS_TABLES,NO_ZERO_DATE';",),
    )  # fmt: skip
    assert only(of_server(a_store(), a_server(sql_mode="NO_ZERO_DATE"))).level is Level.NOTE


def test_transaction_compression_is_only_told() -> None:
    """It is read like anything else."""
    assert only(of_server(a_store(), a_server(binlog_transaction_compression="ON"))).level is Level.NOTE


@pytest.mark.parametrize(("offset", "uncertainty", "told"), [(1.9, 0, 0), (-2.5, 0.1, 1), (2.5, 0.6, 0), (90, 1, 1)])
def test_a_clock_is_off_only_beyond_doubt(offset: float, uncertainty: float, told: int) -> None:
    """A slow line proves nothing about the clock at its end."""
    clock = replace(IN_STEP, offset_seconds=offset, uncertainty_seconds=uncertainty)
    assert len(list(of_clock(a_store(), clock, NOW))) == told


def test_another_time_zone_than_the_files_is_a_warning() -> None:
    """The offset is that of the zone on the day, summer time included."""
    new_york = a_store(timezone="America/New_York")
    assert only(list(of_clock(new_york, IN_STEP, NOW))).subject == "time zone"
    winter, summer = (replace(IN_STEP, utc_offset_seconds=hours * 3600) for hours in (-5, -4))
    assert list(of_clock(new_york, winter, NOW)) == []
    assert list(of_clock(new_york, summer, NOW.replace(month=7))) == []
    assert "UTC-05:00 now" in only(list(of_clock(new_york, summer, NOW))).sentence


def test_xa_is_a_warning_where_it_is_logged_too_early() -> None:
    """5.6 logs an XA transaction when it commits, as it should."""
    assert len(list(of_xa(a_server(version="5.7.44"), 3))) == 1
    assert list(of_xa(a_server(version="5.7.44"), 0)) == []
    assert list(of_xa(a_server(version="5.6.24"), 3)) == []


def test_an_untried_version_is_a_warning() -> None:
    """5.5 has neither checksums nor fractional seconds, and was never captured here."""
    assert only(of_server(a_store(), a_server(version="5.5.62"))).level is Level.WARN


def test_durations_as_a_person_says_them() -> None:
    """Two of a unit before it is used: 90 minutes are not 2 hours."""
    assert [duration(s) for s in (1.25, 45, 100, 150, 5400, 7200, 100_000, 864_000)] == [
        "1.2 s", "45 s", "100 s", "2 min", "90 min", "2 h", "28 h", "10 d",
    ]  # fmt: skip
