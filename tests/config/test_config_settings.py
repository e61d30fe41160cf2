import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from config.acquirer import USUAL_FRAMES, AcquirerSection, MacSection
from config.errors import ConfigError
from config.home import eudora_home
from config.section import Endpoint, EndpointText
from config.settings import Settings, load
from messages.framing import FrameStyle
from messages.wire import WIRES
from switch.network import dialect_complaints

EXAMPLES = Path(__file__).parents[2] / "config" / "examples"

MINIMAL = """
[acquirers.datafono]
listen_port = 7200
[acquirers.datafono.mac]
register_id = 2
"""


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("EUDORA_CONFIG", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EUDORA_HOME", str(tmp_path / "home"))


def _written(directory: Path, text: str) -> Path:
    path = directory / "eudora.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _refusal(path: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return caught.value


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_example_loads(path: Path) -> None:
    """Whoever copies an example gets a configuration that is accepted as it stands."""
    settings = load(path)
    assert settings.acquirers
    assert all(name == section.id for name, section in settings.acquirers.items())


def test_both_kinds_of_installation_have_an_example() -> None:
    """There is an example for one machine and one for production."""
    assert {path.stem for path in EXAMPLES.glob("*.toml")} >= {"one-machine", "production"}


def test_the_production_example_uses_two_modules_and_two_networks() -> None:
    """Failover and several networks are shown where they are needed."""
    settings = load(EXAMPLES / "production.toml")
    assert settings.security_module.endpoints == (
        Endpoint(host="hsm-a.eudora.internal", port=7300),
        Endpoint(host="hsm-b.eudora.internal", port=7300),
    )
    assert settings.acquirers["banco"].is_sign_on_required
    cooperativa = settings.acquirers["cooperativa"]
    assert cooperativa.mac.scheme == "AES-CMAC"
    assert cooperativa.tls is not None
    assert [str(hours) for hours in cooperativa.sells.hours] == ["06:00-21:30"]
    assert not any(dialect_complaints(section) for section in settings.acquirers.values())


def test_no_file_at_all_gives_the_defaults() -> None:
    """Without a file every section has a usable default and no network is served."""
    settings = load()
    assert settings.acquirers == {}
    assert settings.database.dsn is None


def test_the_file_of_the_state_directory_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without being named, eudora.toml of the state directory is read."""
    monkeypatch.setenv("EUDORA_HOME", str(tmp_path))
    _written(tmp_path, MINIMAL)
    assert set(load().acquirers) == {"datafono"}


def test_a_file_named_by_the_environment_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """EUDORA_CONFIG names the file."""
    monkeypatch.setenv("EUDORA_CONFIG", str(_written(tmp_path, MINIMAL)))
    assert load().acquirers["datafono"].listen_port == 7200


def test_relative_paths_are_below_the_state_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A relative path means the state directory, wherever the process was started; an absolute one stays."""
    monkeypatch.setenv("EUDORA_HOME", str(tmp_path))
    settings = load(_written(tmp_path, '[security_module]\nca_file = "tls/ca.pem"\nclient_pem = "/etc/x.pem"\n'))
    assert settings.security_module.ca_file == tmp_path / "tls" / "ca.pem"
    assert settings.security_module.client_pem == Path("/etc/x.pem")
    assert settings.database.directory == tmp_path / "postgres"


@pytest.mark.parametrize("value", [None, ""])
def test_home_defaults_to_var_below_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str | None
) -> None:
    """Unset and empty mean the same: var, and never the file system's root."""
    monkeypatch.chdir(tmp_path)
    if value is None:
        monkeypatch.delenv("EUDORA_HOME")
    else:
        monkeypatch.setenv("EUDORA_HOME", value)
    assert eudora_home() == tmp_path / "var"


def test_environment_beats_secrets_and_secrets_beat_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The order of the sources is the documented one, also deep inside a table."""
    path = _written(tmp_path, MINIMAL + "[database]\nwriters = 3\n")
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "database__writers").write_text("4\n")
    (secrets / "switch__batch_sales_max").write_text("5\n")
    monkeypatch.setenv("EUDORA_SWITCH__BATCH_SALES_MAX", "6")
    monkeypatch.setenv("EUDORA_ACQUIRERS__DATAFONO__CONNECTIONS_MAX", "7")
    settings = load(path, secrets_directory=secrets)
    assert (settings.database.writers, settings.switch.batch_sales_max) == (4, 6)
    assert settings.acquirers["datafono"].connections_max == 7
    assert settings.acquirers["datafono"].listen_port == 7200


def test_a_secret_file_is_read_and_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The database address of a systemd credential is used without its newline and printed nowhere."""
    (tmp_path / "database__dsn").write_text("postgresql://eudora:hunter2@db/eudora\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    settings = load()
    assert settings.database.dsn is not None
    assert settings.database.dsn.reveal() == "postgresql://eudora:hunter2@db/eudora"
    for shown in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())):
        assert "hunter2" not in shown


def test_lists_come_from_the_environment_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of addresses can be given without a file."""
    monkeypatch.setenv("EUDORA_SECURITY_MODULE__ENDPOINTS", '["a:1", "[::1]:2"]')
    assert [str(endpoint) for endpoint in load().security_module.endpoints] == ["a:1", "[::1]:2"]


WRONG = [
    ("[acquirers.x]\nlisten_port = 99999\nmac.register_id = 1\n", "acquirers.x.listen_port", "65535"),
    ("[acquirers.x]\nlisten_port = 1\n", "acquirers.x.mac", "required"),
    ("[acquirers.x]\nlisten_port = 1\nmac = {register_id = 1, scheme = 'ROT13'}\n", "acquirers.x.mac.scheme", "X9.19"),
    (
        "[acquirers.x]\nlisten_port = 1\nmac = {register_id = 1, scheme = 'X9.9', session_keys = true, zone_register_id = 2}\n",
        "acquirers.x.mac",
        "single DES",
    ),
    ("[acquirers.x]\nlisten_port = 1\nmac.register_id = 1\nlistenport = 2\n", "acquirers.x.listenport", "no such key"),
    (
        "[acquirers.x]\nlisten_port = 1\nmac.register_id = 1\nframe_octets_max = 8192\n",
        "acquirers.x.frame_octets_max",
        "",
    ),
    ("[acquirers.x]\nlisten_port = 1\nmac.register_id = 1\nid = 'y'\n", "acquirers", "leave the id out"),
    ("[acquirers.'El Banco']\nlisten_port = 1\nmac.register_id = 1\n", "acquirers.El Banco.id", "pattern"),
    ("[acquirers.x]\nlisten_port = 1\nmac.register_id = 1\nin_flight_max = 2\n", "acquirers.x", "use up the network"),
    (
        "[acquirers.x]\nlisten_port = 1\nmac.register_id = 1\nidle_timeout_seconds = 2\n",
        "acquirers.x",
        "could never end",
    ),
    (
        "[acquirers]\na = {listen_port = 5, mac = {register_id = 1}}\nb = {listen_port = 5, mac = {register_id = 1}}\n",
        "acquirers",
        "same port",
    ),
    ("[security_module]\nendpoints = []\n", "security_module.endpoints", "at least 1"),
    ("[security_module]\nendpoints = ['here']\n", "security_module.endpoints.0", "host:port"),
    ("[security_module]\nendpoints = ['here:70000']\n", "security_module.endpoints.0.port", "65535"),
    ("[security_module]\nrequest_timeout_seconds = inf\n", "security_module.request_timeout_seconds", ""),
    ("[switch]\ndrain_seconds = 0\n", "switch.drain_seconds", "greater than 0"),
    ("[sale]\nminimum_paid_centavos = 3\nmaximum_paid_centavos = 2\n", "sale", "nothing could be sold"),
    ("[sale]\ncap_basis_points = 10001\n", "sale.cap_basis_points", "10000"),
    ("[utility]\nnit = '12'\n", "utility.nit", ""),
    ("[utility]\nticket_footer = ['%s']\n" % ("x" * 49), "utility.ticket_footer.0", "48"),
    ("[log]\nlevel = 'loud'\n", "log.level", "debug"),
    ("[database]\ndsn = 'mysql://root:hunter2@db/x'\n", "database.dsn", "postgresql://"),
    ("[database]\ndsn = ' '\n", "database.dsn", "not empty"),
    ("[datbase]\n", "datbase", "no such section"),
    ("_secrets_dir = '/'\n", "_secrets_dir", "no such section"),
]


@pytest.mark.parametrize(
    ("text", "key", "said"), WRONG, ids=[f"{key}-{number}" for number, (_, key, _) in enumerate(WRONG)]
)
def test_a_wrong_value_is_refused_with_the_path_of_its_key(tmp_path: Path, text: str, key: str, said: str) -> None:
    """The operator reads which key is wrong and why, in the spelling of the file, and no secret is repeated."""
    error = _refusal(_written(tmp_path, text))
    assert key in {complaint.key for complaint in error.complaints}
    assert said in str(error)
    assert "hunter2" not in str(error)
    assert "hunter2" not in repr(error.__cause__) + repr(error.complaints)


def test_all_complaints_come_at_once(tmp_path: Path) -> None:
    """Two mistakes in two sections are both named, so that one edit mends the file."""
    error = _refusal(_written(tmp_path, "[switch]\nmetrics_port = -1\n[log]\nlevel = 'x'\n"))
    assert {complaint.key for complaint in error.complaints} == {"switch.metrics_port", "log.level"}


@pytest.mark.parametrize("content", [b"[database\n", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_what_is_not_toml_is_refused_with_the_file_name(tmp_path: Path, content: bytes) -> None:
    """A broken file is named, and no traceback of a parser reaches the operator."""
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    assert "broken.toml" in str(_refusal(path))


def test_a_missing_file_and_a_missing_secrets_directory_are_refused(tmp_path: Path) -> None:
    """What was named must be there; falling back to defaults would sell with another configuration."""
    assert "nowhere.toml" in str(_refusal(tmp_path / "nowhere.toml"))
    with pytest.raises(ConfigError, match="secrets directory"):
        load(secrets_directory=tmp_path / "nowhere")


def test_a_misspelt_section_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """EUDORA_DATABSE__DSN is a mistake, not a variable of somebody else."""
    monkeypatch.setenv("EUDORA_DATABSE__DSN", "postgresql://x")
    with pytest.raises(ConfigError, match=re.escape("EUDORA_DATABSE__DSN")):
        load()


def test_a_misspelt_key_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong key below a right section is refused as in the file."""
    monkeypatch.setenv("EUDORA_LOG__LEVL", "info")
    with pytest.raises(ConfigError, match=re.escape("log.levl")):
        load()


def test_a_value_that_is_not_json_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken list names its section only."""
    monkeypatch.setenv("EUDORA_SECURITY_MODULE__ENDPOINTS", '["hunter2"')
    with pytest.raises(ConfigError) as caught:
        load()
    assert "security_module" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_settings_do_not_change_after_loading() -> None:
    """A section is frozen: what was checked is what runs."""
    settings = load()
    with pytest.raises(ValidationError, match="frozen"):
        settings.switch.drain_seconds = 1.0
    with pytest.raises(ValidationError, match="frozen"):
        settings.switch = settings.switch


def test_sections_are_documented_key_by_key() -> None:
    """Every key of every section stands in the docstring of its class, where an operator looks it up."""
    pending = [field.annotation for field in Settings.model_fields.values() if isinstance(field.annotation, type)]
    assert len(pending) >= 6
    for section in pending:
        fields = getattr(section, "model_fields", {})
        missing = [name for name in fields if f"{name}:" not in (section.__doc__ or "")]
        assert not missing, f"{section.__name__}: {missing}"


@hypothesis_settings(deadline=None)  # a noisy machine is no fault of the code
@given(host=st.from_regex(r"[a-z0-9.-]{1,40}", fullmatch=True), port=st.integers(1, 65535))
def test_an_address_is_read_back_as_it_was_written(host: str, port: int) -> None:
    """The text of an address and the address are the same thing."""
    adapter: TypeAdapter[Endpoint] = TypeAdapter(EndpointText)
    assert str(adapter.validate_python(f"{host}:{port}")) == f"{host}:{port}"


@pytest.mark.parametrize("text", ["", ":1", "a:", "a:0", "a:65536", "a:1:2", "::1:2", "a b:1", "a:١", "[a]:1", 7, None])
def test_what_is_not_an_address_is_refused(text: object) -> None:
    """Anything but host:port is an error, a bare IPv6 address included."""
    adapter: TypeAdapter[Endpoint] = TypeAdapter(EndpointText)
    with pytest.raises(ValidationError):
        adapter.validate_python(text)


def test_framing_follows_the_dialect_unless_the_table_says_otherwise() -> None:
    """A network's file names its dialect only; what is usual there is what the codec's own wire has."""
    assert set(USUAL_FRAMES) == set(WIRES)
    styles = {"binary2": FrameStyle.BINARY_2, "ascii4": FrameStyle.DIGITS_4}
    for name, wire in WIRES.items():
        section = AcquirerSection(id="red", listen_port=1, mac=MacSection(register_id=10), dialect=name)  # type: ignore[arg-type]
        assert (styles[section.framing], section.has_tpdu) == (wire.frame_style, wire.has_tpdu)
    said = AcquirerSection(id="red", listen_port=1, mac=MacSection(register_id=10), dialect="recargas", has_tpdu=True)
    assert (said.framing, said.has_tpdu) == ("binary2", True)


TDES_DEVICE, AES_DEVICE = "FFFF9876543210E00000", "123456789012345600000000"


@pytest.mark.parametrize(
    "more",
    [
        {"session_keys": True},
        {"session_keys": True, "zone_register_id": 14, "is_diversified_by_terminal": True},
        {"dukpt_devices": {"T1": TDES_DEVICE}, "is_diversified_by_terminal": True},
        {"dukpt_devices": {"T1": TDES_DEVICE}, "session_keys": True, "zone_register_id": 14},
        {"dukpt_devices": {"T1": TDES_DEVICE}, "scheme": "AES-CMAC"},
        {"dukpt_devices": {"T1": AES_DEVICE}},
        {"dukpt_devices": {"T1": "FFFF9876543210E00001"}},
        {"dukpt_devices": {"T1": "123456789012345600000001"}, "scheme": "AES-CMAC"},
        {"dukpt_devices": {"T1": TDES_DEVICE, "T2": TDES_DEVICE.lower()}},
        {"dukpt_devices": {"T1": "FFFF9876543210E0000"}},
    ],
    ids=[
        "no zone",
        "session keys of single terminals",
        "two kinds of keys of terminals",
        "session keys of devices",
        "a TDES device with AES",
        "an AES device with TDES",
        "a TDES counter that is not 0",
        "an AES counter that is not 0",
        "one device twice",
        "nineteen digits",
    ],
)
def test_keys_that_contradict_each_other_are_refused(more: dict[str, object]) -> None:
    """A network has one way to come to its keys, and a device one terminal."""
    with pytest.raises(ValidationError):
        MacSection.model_validate({"register_id": 12, "is_diversified_by_terminal": False, **more})


@pytest.mark.parametrize(("scheme", "device"), [("X9.19", TDES_DEVICE), ("AES-CMAC", AES_DEVICE)])
def test_devices_are_read_in_either_case(scheme: str, device: str) -> None:
    """And kept in one spelling."""
    words = {"scheme": scheme, "register_id": 16, "is_diversified_by_terminal": False}
    section = MacSection.model_validate({**words, "dukpt_devices": {"T1": device.lower()}})
    assert section.dukpt_devices == {"T1": device}
