"""tillstream.yaml is refused completely and kindly, or resolved completely; no password is ever shown."""

import string
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tillstream.checked_yaml import dotted, load
from tillstream.config import Config, Secret, Store, load_config
from tillstream.config_file import ConfigFile, config_schema
from tillstream.errors import ConfigError, Fault

DEFAULTS = "defaults: {user: tillstream, database: pos, password: {env: POS_PASSWORD}}\n"
STORE = "stores:\n  - {id: s001, host: 10.0.1.5}\n"
SMALLEST = DEFAULTS + STORE


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("POS_PASSWORD", raising=False)


def write(text: str) -> Path:
    path = Path("tillstream.yaml")
    path.write_text(text, encoding="utf-8")
    return path


def config_of(text: str) -> Config:
    return load_config(write(text))


def faults_of(text: str) -> list[Fault]:
    with pytest.raises(ConfigError) as caught:
        config_of(text)
    return caught.value.faults


def fault_of(text: str) -> str:
    faults = faults_of(text)
    assert len(faults) == 1, "\n".join(map(str, faults))
    return str(faults[0])


class TestReadingYaml:
    def test_a_missing_file_is_answered_with_the_remedy(self) -> None:
        """No traceback and no guess: which file, and what to do."""
        with pytest.raises(ConfigError, match=r"^nowhere\.yaml: there is no such file; .*--config"):
            load_config(Path("nowhere.yaml"))

    @pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "null\n"])
    def test_an_empty_file_is_answered_with_the_remedy(self, text: str) -> None:
        """Empty is not the same as all defaults."""
        assert fault_of(text).startswith("tillstream.yaml: the file is empty; ")

    @pytest.mark.parametrize(
        ("text", "line", "words"),
        [
            ("a: 1\n\tb: 2\n", 2, "tab"),
            ("a: 1\nb: @c\n", 2, "quotes"),
            ("a: 1\nb: *nowhere\n", 2, "alias"),
            ("a: b: c\n", 1, "':' too many"),
            ("a: [1, 2\nb: 3\n", 2, "bracket"),
            ("a: 1\n---\nb: 2\n", 2, "second document"),
            ("a: 1\nb: \x07\n", 2, "unprintable"),
        ],
    )
    def test_broken_yaml_names_its_line_in_plain_words(self, text: str, line: int, words: str) -> None:
        """PyYAML's own texts speak of tokens and quote the file."""
        (fault,) = faults_of(text)
        assert fault.line == line
        assert words in fault.message

    def test_text_that_is_not_utf_8_is_a_fault(self) -> None:
        """A file saved as GBK by an editor."""
        Path("tillstream.yaml").write_bytes("name: 中山路店".encode("gbk"))
        with pytest.raises(ConfigError, match="is not UTF-8 text"):
            load_config(Path("tillstream.yaml"))

    def test_a_byte_order_mark_is_no_part_of_the_first_key(self) -> None:
        """Notepad writes one."""
        Path("tillstream.yaml").write_text(SMALLEST, encoding="utf-8-sig")
        assert load_config(Path("tillstream.yaml")).stores[0].id == "s001"

    def test_a_key_given_twice_is_a_fault_naming_both_lines(self) -> None:
        """YAML would quietly take the last one."""
        assert fault_of(SMALLEST + "data: ./a\ndata: ./b\n") == (
            'tillstream.yaml:5: data: "data" stands here a second time; the first is in line 4'
        )

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("data: !!python/object:os.system x", "YAML tag"),
            ("data: !!python/object:os.system {}", "YAML tag"),
            ("data: 2026-02-31", "looks like a date but is none"),
            ("data: 0012", "another number than it looks like"),
            ("metrics: {port: 12:30}", "another number than it looks like"),
            ("data: {[a]: 1}", "a key must be plain text"),
            ("<<: {data: x}", "merging"),
        ],
    )
    def test_only_plain_data_is_read(self, line: str, words: str) -> None:
        """Nothing is constructed, nothing is merged, nothing raises."""
        faults = faults_of(SMALLEST + line + "\n")
        assert any(fault.line == 4 and words in fault.message for fault in faults)

    def test_an_anchor_inside_itself_is_a_fault(self) -> None:
        """It would be read for ever."""
        assert any("inside itself" in fault.message for fault in faults_of(SMALLEST + "tables: &a {x: *a}\n"))

    def test_a_very_deep_file_is_a_fault(self) -> None:
        """No RecursionError reaches the user."""
        assert "nested too deeply" in fault_of("a: " + "[" * 5000 + "]" * 5000)

    def test_a_key_that_yaml_reads_as_a_boolean_is_a_fault(self) -> None:
        """`no` is a good name of a column, and false in YAML 1.1."""
        (fault,) = faults_of(SMALLEST + "tables:\n  exclude_columns:\n    no: [a]\n")
        assert (fault.line, fault.path) == (6, "tables.exclude_columns")
        assert "true or false; put it in quotes" in fault.message

    def test_line_of_is_that_of_the_deepest_part_that_stands_in_the_file(self) -> None:
        """A missing key is looked for where it is missing."""
        document = load(write("a:\n  b:\n    - c: 1\n    -\n      c: 2\n"))
        assert document.line_of(()) == 1
        assert document.line_of(("a", "b")) == 2
        assert document.line_of(("a", "b", 1, "c")) == 5
        assert document.line_of(("a", "b", 0, "d", "e")) == 3
        assert dotted(("stores", 2, "id")) == "stores[2].id"


class TestRefusing:
    def test_a_real_charset_that_is_not_known_is_refused(self) -> None:
        """Those that are known are named; a known one is taken for its column."""
        line = "tables: {real_charset: {members: {name: %s}}}\n"
        fault = fault_of(SMALLEST + line % "utf9")
        assert "tables.real_charset.members.name" in fault
        assert "tis620" in fault or "utf8" in fault
        config = config_of(SMALLEST + line % "gbk")
        assert config.tables.real_charset == {"members": {"name": "gbk"}}

    def test_five_faults_are_reported_at_once_in_line_order(self) -> None:
        """Nobody should have to run it five times."""
        text = (
            "data: ./data\n"
            "capture: {kafka: broker:9092, connect: connect:8083}\n"
            "defaults: {user: tillstream, database: pos, timezone: Asia/Shanghay, password: {env: P}}\n"
            "tables:\n"
            "  exclude_colums: {members: [password]}\n"
            "stores:\n"
            "  - {id: S-1, host: 10.0.1.5}\n"
            "  - id: s002\n"
            "    name: 人民广场店\n"
        )
        assert [str(fault) for fault in faults_of(text)] == [
            "tillstream.yaml:2: capture.connect: must be the URL of Kafka Connect's REST interface, such as "
            "http://connect:8083",
            'tillstream.yaml:3: defaults.timezone: "Asia/Shanghay" is not a time zone; did you mean "Asia/Shanghai"?',
            'tillstream.yaml:5: tables.exclude_colums: "exclude_colums" is not known here; '
            'did you mean "exclude_columns"?',
            'tillstream.yaml:7: stores[0].id: "S-1" cannot be a store id: 1 to 41 of a-z, 0-9 and _, '
            "not beginning with _",
            'tillstream.yaml:8: stores[1].host: "host" is required here',
        ]

    @pytest.mark.parametrize("line", ["mask: {}", "day_ends_at: '04:00'", "stors: []", "tables: {rename: {a: b}}"])
    def test_what_is_designed_but_not_built_is_unknown(self, line: str) -> None:
        """An option that is accepted and does nothing is a lie."""
        assert "is not known here" in fault_of(SMALLEST + line + "\n")

    @pytest.mark.parametrize("word", ["mask", "opening_hours"])
    def test_defaults_that_are_not_built_are_unknown(self, word: str) -> None:
        """As above, one level down, and told what is allowed."""
        text = SMALLEST.replace("{user", f"{{{word}: x, user")
        assert "allowed: database, day_ends_at, password, port, timezone, user" in fault_of(text)

    def test_one_id_for_two_stores_names_both_lines(self) -> None:
        """Two servers under one id would be one lane."""
        text = DEFAULTS + "stores:\n  - {id: a, host: h1}\n  - {id: b, host: h2}\n  - {id: a, host: h3}\n"
        assert fault_of(text) == (
            "tillstream.yaml:5: stores[2].id: the store in line 5 has the id "
            '"a" of the store in line 3; each must differ'
        )

    def test_one_server_for_two_stores_is_a_fault_even_if_written_differently(self) -> None:
        """The default port and database count, and the case of a host's name does not."""
        text = DEFAULTS + "stores:\n  - {id: a, host: Till}\n  - {id: b, host: till, port: 3306, database: pos}\n"
        assert "line 4 is at the host, port and database of the store in line 3" in fault_of(text)

    def test_two_databases_of_one_server_are_two_stores(self) -> None:
        """As are two servers on one host."""
        text = DEFAULTS + (
            "stores:\n  - {id: a, host: h}\n  - {id: b, host: h, database: c}\n  - {id: c, host: h, port: 1}"
        )
        assert len(config_of(text).stores) == 3

    def test_what_neither_the_store_nor_defaults_give_is_a_fault_at_the_store(self) -> None:
        """Every store is complete, or nothing starts."""
        faults = faults_of("stores:\n  - {id: a, host: h, user: u}\n")
        assert [(fault.line, fault.path) for fault in faults] == [
            (2, "stores[0].database"),
            (2, "stores[0].password"),
        ]
        assert "password: {env: POS_PASSWORD}" in faults[1].message

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("metrics: {port: -1}", "must be at least 0"),
            ("metrics: {port: true}", "must be a whole number"),
            ("capture_options: {poll_interval_milliseconds: 1.5}", "must be a whole number"),
            ("capture_options: {snapshot_locking: minimum}", 'did you mean "minimal"?'),
            ("capture_options: {snapshot_locking: 7}", "must be one of: minimal, none"),
            ("retry: {first_seconds: 100}", "most_seconds must be at least first_seconds"),
            ("retry: {first_seconds: .nan}", "finite"),
            ("retry: 5", "must be a mapping"),
            ("resync: {load_percent: 0}", "must be at least 1"),
            ("resync: {load_percent: 101}", "must be at most 100"),
            ("tables: {history: {members: 30}}", "must be a duration with its unit"),
            ("tables: {history: true}", "must be a duration with its unit, such as 30s, 10m, 2h or 1d, or false"),
            ("tables: {include: members}", "must be a list"),
            ("tables: {include: []}", "must not be empty"),
            ("tables: {include: ['']}", "must not be empty"),
            ("tables: {include: [2026-01-01]}", "must be text, but YAML reads this as a date"),
            (
                "tables: {include: [no]}",
                "must be text, but YAML reads this as true or false; put it in quotes",
            ),
            ("tables: {include: [~]}", "nothing stands here"),
            ("tables: {include: [a], exclude: [a]}", "include and exclude both name a"),
            ("capture: cdc", "must be `embedded`"),
            ("warehouse: [a]", "must be `embedded` or a URL"),
            ("warehouse: embeded", "must be `embedded` or a URL"),
            ("warehouse: sqlite:///x", "sqlite is not supported"),
            ("warehouse: postgresql+psycopg://h/d", "must name user, host and database"),
            ("warehouse: postgresql+psycopg://u@h/d?password=x", "the query of a URL"),
            (
                "warehouse: {url: 'postgresql+psycopg://u:p@h/d', password: {env: X}}",
                "take it out of the URL",
            ),
        ],
    )
    def test_a_fault_says_what_is_allowed(self, line: str, words: str) -> None:
        """One fault, in the line it is in, in words rather than type names."""
        (fault,) = faults_of(SMALLEST + line + "\n")
        assert fault.line == 4
        assert words in fault.message

    @pytest.mark.parametrize("location", ["[31.2]", "[1, 2, 3]", "[91, 0]", "[0, 181]", "[a, b]", "x", "[.nan, 0]"])
    def test_a_place_that_is_not_on_earth_is_a_fault(self, location: str) -> None:
        """Latitude comes first."""
        text = DEFAULTS + f"stores:\n  - {{id: a, host: h, location: {location}}}\n"
        assert "[latitude, longitude]" in fault_of(text)

    def test_an_attribute_is_text_or_a_number(self) -> None:
        """A number stays one; true is neither."""
        text = DEFAULTS + "stores:\n  - {id: a, host: h, attributes: {tier: flagship, tills: 4, open: true}}\n"
        assert "stores[0].attributes.open: must be text or a number" in fault_of(text)

    def test_a_document_that_is_no_mapping_is_a_fault(self) -> None:
        """A list of stores without its heading, say."""
        assert "must be a mapping" in fault_of("- {id: a}\n")

    @settings(deadline=None)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(string.printable, max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["stores", "defaults", "id", "host", "password", "warehouse", "tables", "x"]),
                    inner,
                    max_size=4,
                )
            ),
        )
    )
    def test_no_data_whatever_raises_anything_but_faults(self, data: object) -> None:
        """Whatever a person wrote, the answer is a list of faults or a configuration."""
        import yaml

        path = Path("any.yaml")
        path.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
        with suppress(ConfigError):
            load_config(path)


class TestResolving:
    def test_the_smallest_file_is_enough(self, tmp_path: Path) -> None:
        """Everything else has a default, and paths are relative to the file."""
        config = config_of(SMALLEST)
        assert config.directory == tmp_path.resolve()
        assert config.data == tmp_path.resolve() / "data"
        assert (config.warehouse, config.capture, config.policies) == (None, None, None)
        assert (config.metrics.host, config.metrics.port) == ("127.0.0.1", 9464)
        assert config.tables.include is None
        assert config.capture_options.snapshot_locking == "minimal"
        assert config.resync.load_percent == 10
        assert (config.retry.first_seconds, config.retry.most_seconds) == (1.0, 60.0)

    def test_kafka_is_named_with_what_it_needs(self) -> None:
        """Two addresses are enough; a secret of the client is a reference, and revealed for the driver alone."""
        named = "capture: {kafka: broker:9092, connect: http://connect:8083/"
        capture = config_of(SMALLEST + named + "}\n").capture
        assert capture is not None
        assert (capture.connect, capture.prefix, capture.replication) == ("http://connect:8083", "tillstream", 1)
        assert capture.client_properties() == {"bootstrap.servers": "broker:9092"}
        client = "client: {security.protocol: SASL_SSL, enable.ssl.certificate.verification: false, sasl.password: "
        secret = config_of(SMALLEST + named + ", " + client + "{env: KAFKA_PASSWORD}}}\n").capture
        assert secret is not None
        assert "KAFKA_PASSWORD" in repr(secret.client["sasl.password"])
        with pytest.raises(ConfigError, match=r"Kafka \(sasl.password\) is missing: .* KAFKA_PASSWORD is not set"):
            secret.client_properties()
        assert secret.client["enable.ssl.certificate.verification"] == "false"

    def test_a_secret_of_kafka_stands_in_no_file(self) -> None:
        """Neither the workers' nor the connectors'; what is no secret may be said as it is."""
        named = "capture: {kafka: broker:9092, connect: http://connect:8083, %s}\n"
        for said, key in (
            ("client: {sasl.password: hunter2}", "sasl.password"),
            ("connect_client: {sasl.jaas.config: 'Login password=\"hunter2\";'}", "sasl.jaas.config"),
        ):
            fault = fault_of(SMALLEST + named % said)
            assert f"{key}: a secret does not stand in this file" in fault
            assert "hunter2" not in fault
        kept = "connect_client: {sasl.jaas.config: 'Login password=\"${env:KAFKA}\";', ssl.truststore.location: /ca}"
        capture = config_of(SMALLEST + named % kept).capture
        assert capture is not None
        assert capture.connect_client["ssl.truststore.location"] == "/ca"

    def test_how_long_history_is_kept_is_said_for_all_or_by_table(self) -> None:
        """30 days where nothing is said; false is none."""
        assert config_of(SMALLEST).tables.history_seconds == {"*": 30 * 86_400.0}
        for said, seconds in (
            ("false", {"*": 0.0}),
            ("90d", {"*": 90 * 86_400.0}),
            ("{stock: false, members: 2h}", {"*": 30 * 86_400.0, "stock": 0.0, "members": 7_200.0}),
        ):
            assert config_of(SMALLEST + f"tables: {{history: {said}}}\n").tables.history_seconds == seconds

    def test_a_store_is_complete(self) -> None:
        """Its own values win over the defaults; nobody else looks at the defaults."""
        config = config_of(
            "defaults: {port: 3307, user: u, database: d, password: {env: P}, timezone: Asia/Shanghai}\n"
            "stores:\n"
            "  - {id: s001, host: h1}\n"
            "  - {id: s002, name: 店, host: h2, port: 1, user: v, database: e, password: {file: run/p},\n"
            "     location: [31, 121.5], attributes: {tier: flagship, tills: 4}}\n"
        )
        plain, special = config.stores
        assert plain == Store(
            id="s001",
            name="s001",
            host="h1",
            port=3307,
            user="u",
            database="d",
            timezone="Asia/Shanghai",
            password=plain.password,
        )
        assert plain.password.env == "P"
        assert (special.name, special.port, special.user, special.database) == ("店", 1, "v", "e")
        assert special.password.file == config.directory / "run/p"
        assert special.location == (31.0, 121.5)
        assert special.attributes == {"tier": "flagship", "tills": 4}

    @pytest.mark.parametrize("number", ["'001'", '"001"'])
    def test_an_id_in_quotes_keeps_its_zeros(self, number: str) -> None:
        """And without quotes, where YAML reads a number, the quotes are asked for."""
        text = DEFAULTS + "stores:\n  - {id: %s, host: h}\n"
        assert config_of(text % number).stores[0].id == "001"
        assert "put it in quotes" in fault_of(text % "001")

    def test_the_longest_id_has_41_characters(self) -> None:
        """42 would not leave room in PostgreSQL's 63 for a table's name."""
        text = DEFAULTS + "stores:\n  - {id: %s, host: h}\n"
        assert len(config_of(text % ("a" * 41)).stores[0].id) == 41
        assert "cannot be a store id" in fault_of(text % ("a" * 42))

    def test_the_warehouse_takes_its_password_by_reference(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is put into the URL only when the URL is asked for, and str() of that hides it."""
        warehouse = config_of(
            SMALLEST + "warehouse: {url: 'postgresql+psycopg://u@h:5433/d', password: {env: W}}\n"
        ).warehouse
        assert warehouse is not None
        with pytest.raises(ConfigError, match=r"yaml:4: warehouse\.password: .*of the warehouse .*variable W"):
            warehouse.url()
        monkeypatch.setenv("W", "p@ss/word")
        assert warehouse.url().password == "p@ss/word"
        assert "p@ss" not in str(warehouse.url())

    def test_a_shared_fault_place_is_hashable(self) -> None:
        """Stores are keys of mappings elsewhere."""
        assert len(set(config_of(SMALLEST).stores)) == 1


FORMS = (
    *("%s", "'%s'", "*%s", "!%s", "&%s", "@%s", '"%s', "{%s}", "{{ %s }}", "[%s]", "%s: x"),
    *("{%s: x}", "{value: %s}", "{env: a-%s}", "{env: [%s]}", "{env: A, file: %s}", "{env: A, %s: }"),
)
# Begins like no name in the sources: Hypothesis also tries the words that it finds there.
PASSWORDS = st.text(string.ascii_letters + string.digits, min_size=8, max_size=20).map("Zq7{}".format)
unhurried = settings(deadline=None, max_examples=50)  # each example writes a file


class TestSecrets:
    def test_a_secret_is_read_late(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Loading needs no password; revealing without one names store, variable and line."""
        secret = config_of(SMALLEST).stores[0].password
        with pytest.raises(ConfigError) as caught:
            secret.reveal()
        assert str(caught.value) == (
            "tillstream.yaml:1: defaults.password: the password of store s001 is missing: "
            "the environment variable POS_PASSWORD is not set"
        )
        monkeypatch.setenv("POS_PASSWORD", "")
        assert secret.reveal() == ""

    def test_a_secret_file_loses_only_its_last_line_break(self, tmp_path: Path) -> None:
        """Editors add one; spaces may belong to the password."""
        file = tmp_path / "p"
        file.write_bytes(b" hunter2 \r\n")
        assert Secret(file=file).reveal() == " hunter2 "

    @pytest.mark.parametrize("content", [None, b"\xff\xfehunter2"])
    def test_an_unreadable_secret_file_is_a_fault_that_shows_nothing(
        self, tmp_path: Path, content: bytes | None
    ) -> None:
        """A UnicodeDecodeError would carry the bytes."""
        file = tmp_path / "p"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(ConfigError, match=r"store s1 is missing: the file .*/p cannot be read") as caught:
            Secret(file=file, owner="store s1").reveal()
        assert caught.value.__context__ is None

    @unhurried
    @given(PASSWORDS, st.data())
    def test_a_password_in_the_file_is_never_repeated(self, password: str, data: st.DataObject) -> None:
        """However it is written, and whatever else is wrong with it."""
        form = data.draw(st.sampled_from(FORMS))
        written = form % password
        faults = faults_of(
            f"defaults: {{user: u, database: d}}\nstores:\n  - id: a\n    host: h\n    password: {written}\n"
        )
        assert password not in "\n".join(str(fault) for fault in faults)

    @unhurried
    @given(PASSWORDS)
    def test_a_password_in_the_warehouse_url_is_never_shown(self, password: str) -> None:
        """It may stand there, but neither repr, str, a dump, nor a fault repeats it."""
        line = f"warehouse: postgresql+psycopg://u:{password}@h/d\n"
        config = config_of(SMALLEST + line)
        document = load(Path("tillstream.yaml"))
        entry = ConfigFile.model_validate(document.data)
        shown = [config, document, entry, entry.model_dump(), entry.model_dump_json(), config.warehouse]
        assert password not in "".join(f"{one!r}{one}" for one in shown)
        assert config.warehouse is not None
        assert config.warehouse.url().password == password
        for broken in ("+psycopg://", "+psycopg2://"), ("@h/d", "@h"), ("postgresql", "://"), ("@h", "@h:x"):
            told = "\n".join(map(str, faults_of(SMALLEST + line.replace(*broken))))
            assert password not in told

    def test_a_secret_shows_where_it_is_kept_and_never_what_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It does not hold the value, even after it was revealed."""
        monkeypatch.setenv("POS_PASSWORD", "hunter2hunter2")
        config = config_of(SMALLEST)
        assert config.stores[0].password.reveal() == "hunter2hunter2"
        assert "POS_PASSWORD" in repr(config)
        assert "hunter2" not in repr(config) + str(config)


def test_the_schema_is_draft_07_and_describes_every_field() -> None:
    """Editors show the descriptions; draft-07 ignores what stands beside a $ref."""
    schema = config_schema()
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert schema["title"] == "tillstream.yaml"
    for definition in (schema, *schema["definitions"].values()):
        for name, described in definition.get("properties", {}).items():
            assert described.get("description"), name
            assert "$ref" not in described, name
