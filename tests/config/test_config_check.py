"""What `eudora config check` finds: said in words, with the key, before anything is started."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from config.check import examine

NETWORK = "[acquirers.x]\nlisten_port = 7200\nmac.register_id = 1\n"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A state directory with the files of the security module's client."""
    for name in ("EUDORA_CONFIG", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EUDORA_HOME", str(tmp_path))
    clients = tmp_path / "security-module" / "tls" / "clients"
    clients.mkdir(parents=True)
    for path in (clients.parent / "ca.pem", clients / "switch.pem"):
        path.write_text("pem")
        path.chmod(0o600)
    return tmp_path


def _check(home: Path, text: str, *options: str) -> Result:
    path = home / "candidate.toml"
    path.write_text(text, encoding="utf-8")
    return CliRunner().invoke(main, ["config", "check", str(path), *options])


def test_a_good_file_is_summed_up_network_by_network(home: Path) -> None:
    """One line for each, with what matters when something is refused."""
    result = _check(home, NETWORK + '[acquirers.x.sells]\nservices = ["energy"]\nhours = ["06:00-22:00"]\n')
    assert result.exit_code == 0, result.output
    assert "candidate.toml: can be used" in result.output
    for word in ("x: datafono on 127.0.0.1:7200", "plain", "everybody", "X9.19 register 1", "energy", "06:00-22:00"):
        assert word in result.output


WRONG = [
    ("listen_prt = 1\n", "acquirers.x.listen_prt: no such key; did you mean listen_port?"),
    (
        "commission = 150\n",
        "acquirers.x.commission: no such key: a network's money is in the ledger; eudora network terms",
    ),
    ("response_texts = { float_shrt = 'x' }\n", "acquirers.x.response_texts"),
    ("response_texts = { float_short = '26 characters are too many' }\n", "acquirers.x.response_texts.float_short"),
    ("response_texts = { float_short = 'd\u2019accord' }\n", "a terminal prints Latin-1"),
    ("cut_over_time = '24:00'\n", "acquirers.x.cut_over_time"),
    ("cut_over_time = '00:00'\n", "acquirers.x.cut_over_time: at midnight the day changes anyway"),
    ("role = 'they_call'\n", "acquirers.x.role"),
    ("role = 'both'\n", "acquirers.x: role both goes with a table links"),
    ("links.hosts = ['h:1']\n", "acquirers.x: role they_connect goes without a table links"),
    ("role = 'we_connect'\nlinks.hosts = ['h:1']\n", "acquirers.x: role we_connect has no port"),
    ("role = 'both'\nlinks.hosts = []\n", "acquirers.x.links.hosts"),
    ("notices.kinds = ['outcome']\n", "acquirers.x: notices need links that we open"),
    ("notices = {kinds = [], over_their_links = true}\n", "acquirers.x.notices.kinds"),
    (
        "notices = {kinds = ['settlement'], over_their_links = true}\nnetwork_terminals = ['T1']\n",
        "acquirers.x: settlement notices tell of the file in settlement_directory",
    ),
    (
        "notices = {kinds = ['settlement'], over_their_links = true}\nsettlement_directory = '.'\n",
        "acquirers.x: settlement notices name the first of network_terminals",
    ),
    ("notices = {kinds = ['outcome'], over_their_links = true, backoff_min_seconds = 900}\n", "acquirers.x.notices"),
    ("role = 'both'\nlinks = {hosts = ['h:1'], backoff_min_seconds = 60}\n", "acquirers.x.links"),
    (
        "role = 'both'\nlinks = {hosts = ['h:1'], echo_interval_seconds = 300}\n",
        "acquirers.x: links.echo_interval_seconds",
    ),
    (
        "role = 'both'\nlinks.hosts = ['h:1']\ntls = {certificate_file = 'c', key_file = 'k'}\n",
        "acquirers.x: tls.client_ca_file is missing",
    ),
    ("in_flight_max = 0\n", "acquirers.x.in_flight_max: Input should be greater than or equal to 1; 0 is there"),
    ("mac.scheme = 'ROT13'\n", "'ROT13' is there"),
    ("allowed_peers = ['10.0.0.1/8']\n", "acquirers.x.allowed_peers.0"),
    ("allowed_peers = ['shop']\n", "acquirers.x.allowed_peers.0"),
    ("allowed_peers = [7]\n", "acquirers.x.allowed_peers.0: an address range is written"),
    ("sells = {hours = ['8-9']}\n", 'acquirers.x.sells.hours.0: hours are written "HH:MM-HH:MM"'),
    ("sells = {hours = ['08:00-08:00']}\n", "acquirers.x.sells.hours.0: the hours open and close"),
    ("sells = {services = []}\n", "acquirers.x.sells.services"),
    ("sells = {minimum_paid_centavos = 2, maximum_paid_centavos = 1}\n", "nothing could be sold"),
    ("sells = {kind = ['recharge']}\n", "acquirers.x.sells.kind: no such key; did you mean kinds?"),
    ("requests_per_second_max = 0\n", "acquirers.x.requests_per_second_max"),
    ("response_codes = {float_shrt = '51'}\n", "acquirers.x.response_codes.float_shrt: no such response code"),
    ("response_codes = {float_short = '00'}\n", "acquirers.x.response_codes.float_short: approved is spelled so"),
    ("response_codes = {float_short = '511'}\n", "acquirers.x.response_codes.float_short: this dialect spells"),
    ("tls = {certificate_file = 'a.pem'}\n", "acquirers.x.tls.key_file: Field required"),
    ("tls = {certificate_file = 'a', key_file = 'b', client_names = ['c']}\n", "client_names without client_ca_file"),
    ("tls = {certificate_file = 'a.pem', key_file = 'b.pem'}\n", "a.pem does not exist"),
    ("settlement_directory = 'nowhere'\n", "nowhere is no directory"),
]


@pytest.mark.parametrize(
    ("line", "said"), WRONG, ids=[line.split(" ")[0] + str(n) for n, (line, _) in enumerate(WRONG)]
)
def test_what_is_wrong_with_a_network_is_said_with_its_key(home: Path, line: str, said: str) -> None:
    """The path of the key, what is there where that is no secret, and what is allowed; exit code 1."""
    text = "[acquirers.x]\nlisten_port = 7200\nmac.register_id = 1\n" + line
    result = _check(home, text)
    assert result.exit_code == 1
    assert said in result.output


def test_two_networks_on_one_port_are_found_also_on_every_address(home: Path) -> None:
    """0.0.0.0 is every address of the machine."""
    other = "[acquirers.y]\nlisten_host = '0.0.0.0'\nlisten_port = 7200\nmac.register_id = 2\n"
    result = _check(home, NETWORK + other)
    assert result.exit_code == 1
    assert "listen on the same port 7200" in result.output


def test_one_register_for_two_networks_is_unwise(home: Path) -> None:
    """It works, and is warned of."""
    result = _check(home, NETWORK + "[acquirers.y]\nlisten_port = 7201\nmac.register_id = 1\n")
    assert result.exit_code == 0
    assert "warning  acquirers.y.mac.register_id: register 1 is that of x too" in result.output


def test_a_password_in_the_file_is_unwise_and_not_repeated(home: Path) -> None:
    """The address of a database without one is nobody's secret."""
    result = _check(home, "[database]\ndsn = 'postgresql://eudora:hunter2@db/eudora'\n")
    assert "warning  database.dsn: holds a password" in result.output
    assert "hunter2" not in result.output
    assert "warning" not in _check(home, "[database]\ndsn = 'postgresql://db/eudora'\n").output


def test_files_that_are_missing_or_open_to_others_are_found(home: Path) -> None:
    """A private key that anybody may read is none."""
    client = home / "security-module" / "tls" / "clients" / "switch.pem"
    client.chmod(0o644)
    result = _check(home, NETWORK)
    assert result.exit_code == 1
    assert f"security_module.client_pem: {client} holds a private key and has mode 0644; chmod 600 it" in result.output
    client.unlink()
    assert f"{client} does not exist" in _check(home, NETWORK).output


def test_json_for_programs(home: Path) -> None:
    """The same, with keys and texts apart, good and bad."""
    good = json.loads(_check(home, NETWORK, "--json").output)
    assert good["is_usable"]
    assert good["networks"][0]["listen_port"] == 7200
    bad = json.loads(_check(home, NETWORK + "listen_prt = 1\n", "--json").output)
    assert not bad["is_usable"]
    assert bad["complaints"] == [{"key": "acquirers.x.listen_prt", "text": "no such key; did you mean listen_port?"}]


def test_without_a_file_the_defaults_are_looked_at() -> None:
    """An installation that is configured by its environment alone can be checked as well."""
    assert examine().source == "defaults and environment"
