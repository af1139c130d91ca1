"""`map:` of policies.yaml: a CSV that says which of the chain's codes a store's code is."""

from pathlib import Path

import pytest

from conflict.case_run import differences
from conflict.code_map import files_named
from conflict.identity import business_key
from conflict.policy import Policy
from conflict.policy_file import parse_policy
from tillstream import commands
from tillstream.checked_yaml import load, parse
from tillstream.errors import ConfigError

POLICIES = """\
version: 1
tables:
  products:
    scope: shared
    key: {sku: upper, region: {as: trim, stop: [none]}}
    map: {sku: maps/sku.csv}
"""
STORES = {"s1": {}, "s2": {}}


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("maps").mkdir()


def policy_with(codes: str | bytes | None, text: str = POLICIES) -> Policy:
    if codes is not None:
        Path("maps/sku.csv").write_bytes(codes if isinstance(codes, bytes) else codes.encode())
    Path("policies.yaml").write_text(text)
    return parse_policy(load(Path("policies.yaml"), files_named=files_named), STORES)


def key_of(policy: Policy, store: str | None, sku: str) -> str | None:
    return business_key(policy.tables["products"].key, {"sku": sku, "region": "east"}, store)


def test_a_stores_code_becomes_the_chains() -> None:
    """Both normalised as the key is; what is said of one store goes before what is said of all, and what is said of
    none stands as it is. A code that nobody's row has is the chain's already."""
    policy = policy_with('\ufeffstore,code,chain_code\n,t-1,tea-1\n"s2",T-1 ,Tea-2\n\n,"a,b",C\n')
    assert key_of(policy, "s1", " T-1") == '["TEA-1","east"]'
    assert key_of(policy, "s2", "t-1") == '["TEA-2","east"]'
    assert key_of(policy, "s1", "A,B") == '["C","east"]'
    assert key_of(policy, "s1", "x") == '["X","east"]'
    assert key_of(policy, None, "t-1") == '["T-1","east"]'


def test_a_code_is_looked_up_once() -> None:
    """So two codes may be exchanged. That one leads to another is told, for it may not be meant so."""
    policy = policy_with("code,chain_code\na,b\nb,c\n")
    assert key_of(policy, "s1", "a") == '["B","east"]'
    assert key_of(policy, "s1", "b") == '["C","east"]'
    codes = policy.tables["products"].key[0].codes
    assert codes is not None
    assert codes.notes == (
        'maps/sku.csv:2: "A" becomes "B" and stays that, though the code "B" becomes "C": a code is looked up once',
    )


def test_that_is_told_by_policy_check(capsys: pytest.CaptureFixture[str]) -> None:
    """Without making a fault of it."""
    policy_with("code,chain_code\na,b\nb,c\n")
    for arguments, told in ((["policies.yaml"], "a code is looked up once\n"), (["policies.yaml", "--output", "json"],
                            '"notes": ["maps/sku.csv:2: ')):  # fmt: skip
        with pytest.raises(SystemExit) as left:
            commands.main(["policy", "check", *arguments])
        assert not left.value.code
        assert told in capsys.readouterr().out.replace("\\", "")


def test_the_fingerprint_is_of_what_a_map_says() -> None:
    """Not of how it is written; without one it is what it was before there were maps."""
    one = policy_with("store,code,chain_code\n,a,x\ns1,b,y\n")
    assert policy_with("chain_code,code,store\nY,B,s1\n\nx,A,\nX,a,\n").fingerprint == one.fingerprint
    assert policy_with("store,code,chain_code\n,a,x\ns1,b,z\n").fingerprint != one.fingerprint
    assert policy_with(None, POLICIES.replace("    map: {sku: maps/sku.csv}\n", "")).fingerprint not in (
        one.fingerprint,
        policy_with("code,chain_code\n").fingerprint,
    )


def test_a_policy_is_whole_without_the_file() -> None:
    """Its source has the text of the map."""
    policy = policy_with("code,chain_code\na,x\n")
    Path("maps/sku.csv").unlink()
    assert policy.source is not None
    again = parse_policy(parse(policy.source.text, "policy 1", policy.source.files), policy.source.stores)
    assert again.fingerprint == policy.fingerprint
    assert key_of(again, "s1", "a") == '["X","east"]'


def test_a_policys_tests_go_by_its_map() -> None:
    """What stores have is given by their codes, what is expected by the chain's."""
    policy = policy_with(
        "store,code,chain_code\ns1,t-1,tea-1\n",
        """\
version: 1
tables:
  products: {scope: shared, key: {sku: upper}, map: {sku: maps/sku.csv}, columns: {stock: {rule: sum}}}
tests:
  - name: one tea
    given: {products: [{store: s1, sku: T-1, stock: 2}, {store: s2, sku: Tea-1, stock: 3}, {store: s2, sku: T-1}]}
    expect: {products: [{sku: tea-1, stock: 5}, {sku: t-1}]}
""",
    )
    assert differences(policy, policy.cases[0]) == []


@pytest.mark.parametrize(
    ("codes", "told"),
    [
        ("code,chain\na,b\n", ["1: lacks the column chain_code", '1: "chain" is not a column of a map']),
        ("a,b\n", ["1: lacks the column code and chain_code", '1: "a" is not', '1: "b" is not']),
        ("", ["1: lacks the column code and chain_code"]),
        ("code,code,chain_code\na,a,b\n", ["1: names a column twice"]),
        (
            "store,code,chain_code\ns3,a,b\n,,b\n,a, \ns1,a,b\n\ns1,A,c\ns1,b\n",
            [
                '2: "s3" is not a store of tillstream.yaml',
                "3: code is empty",
                "4: chain_code is empty",
                '7: the code "A" of store s1 is "B" in line 5 and "C" here',
                "8: has 2 fields where the first line has 3",
            ],
        ),
        ('code,chain_code\n"a"b,c\n', ["2: this is not CSV"]),
        ("code,chain_code\na,\0\n", [" holds a NUL"]),
    ],
)
def test_all_faults_of_a_map_are_found_at_once(codes: str, told: list[str]) -> None:
    """Each with the map's own file and line."""
    with pytest.raises(ConfigError) as caught:
        policy_with(codes)
    found = [str(fault).removeprefix("maps/sku.csv:") for fault in caught.value.faults]
    assert len(found) == len(told)
    for said, words in zip(found, told, strict=True):
        assert said.startswith(words)


@pytest.mark.parametrize(
    ("codes", "text", "told"),
    [
        (None, POLICIES, "policies.yaml:6: tables.products.map.sku: maps/sku.csv: there is no such file"),
        (
            b"code,chain_code\n\xff,b\n",
            POLICIES,
            "policies.yaml:6: tables.products.map.sku: maps/sku.csv: is not UTF-8",
        ),
        (
            "code,chain_code\n",
            POLICIES.replace("map: {sku", "map: {skus"),
            "policies.yaml:6: tables.products.map.skus: is not part of the key, whose codes a map is of; did you mean",
        ),
        (
            "code,chain_code\n",
            "version: 1\ntables:\n  a: {map: {sku: maps/sku.csv}}\n",
            "policies.yaml:3: tables.a.map: means nothing in an isolated table",
        ),
        (None, POLICIES.replace("maps/sku.csv", "7"), "policies.yaml:6: tables.products.map.sku: must be text"),
    ],
)
def test_a_map_that_is_none_is_refused_where_it_is_named(codes: str | bytes | None, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        policy_with(codes, text)
    (fault,) = caught.value.faults
    assert str(fault).startswith(told)
