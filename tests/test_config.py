"""The configuration file: what it accepts, and how it says no."""

import os
import re
from pathlib import Path

import pytest
import yaml

from dhcp_failover_exporter import config
from dhcp_failover_exporter.errors import AuthError, ConfigurationError

SECRET = "correct horse battery staple"

WHOLE = """
credentials:
  lab: {username: 'LAB\\svc-dhcp-monitor', password_file: password}
defaults:
  credential: lab
  auth: negotiate
  tls: {ca_file: lab-ca.pem}
  timeout: 10s
  intervals: {state: 15s, pools: 1m, checks: 15m, audit: 1h}
  sections: {ports: true, events: true}
servers:
  - {name: dhcp01.lab.local}
  - {name: dhcp02.lab.local, address: 10.0.0.2, scheme: http, auth: ntlm, intervals: {state: 1m30s}, sections: {ports: false}}
aliases: {10.0.0.2: dhcp02.lab.local}
polling: {enabled: false}
"""

TEN_MISTAKES = """
credentials:
  lab: {username: lab, password: %s}
  two: {username: two, password_env: NOT_SET_ANYWHERE}
defaults: {credential: lab, auth: negotiat, timeout: 10, intervals: {pool: 1m}}
servers:
  - {name: dhcp01.lab.local, port: 5986, port: 70000}
  - {name: dhcp02.lab.local, credential: nobody}
  - {name: dhcp03.lab.local, adress: 10.0.0.3}
polling: {enabled: 3}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "password").write_text(f"{SECRET}\n")
    (tmp_path / "lab-ca.pem").write_text("")
    return tmp_path


def mistakes(text: str, folder: Path) -> list[str]:
    """Each with its line, path and remedy."""
    with pytest.raises(ConfigurationError) as raised:
        config.parse(text, folder)
    return [str(mistake) for mistake in raised.value.mistakes]


def remedies(text: str, folder: Path) -> list[str]:
    """Each with its path and remedy; the line is another test's."""
    return [re.sub(r"^line \d+: (?!not YAML)", "", mistake) for mistake in mistakes(text, folder)]


def server_with(key_and_value: str, credential: str = "{username: u, password_file: password}") -> str:
    return f"credentials: {{lab: {credential}}}\nservers:\n- {{name: d1, credential: lab, {key_and_value}}}\n"


def test_a_server_takes_the_defaults_and_overrides_them_key_by_key(folder: Path) -> None:
    first, second = config.parse(WHOLE, folder).servers
    assert (first.address, first.scheme, first.port) == ("dhcp01.lab.local", "https", 5986)
    assert first.intervals == config.Intervals()
    assert first.tls.ca_file == folder / "lab-ca.pem"
    assert (second.address, second.port, second.auth) == ("10.0.0.2", 5985, "ntlm")
    assert (second.intervals.state_seconds, second.intervals.pools_seconds) == (90.0, 60.0)
    assert first.sections - second.sections == {"ports"}


def test_the_rest_of_the_file_is_read_too(folder: Path) -> None:
    settings = config.parse(WHOLE, folder)
    assert settings.aliases == {"10.0.0.2": "dhcp02.lab.local"}
    assert settings.polling_enabled is False
    assert settings.server("DHCP01.lab.local") is settings.servers[0]
    assert settings.server("dhcp09.lab.local") is None


def test_equal_text_gives_equal_settings_so_that_a_reload_can_tell_what_changed(folder: Path) -> None:
    assert config.parse(WHOLE, folder) == config.parse(WHOLE, folder)
    assert config.parse(WHOLE, folder) != config.parse(WHOLE.replace("1m30s", "2m"), folder)


def test_ten_mistakes_are_ten_lines_each_with_path_and_remedy(folder: Path) -> None:
    assert mistakes(TEN_MISTAKES % SECRET, folder) == [
        "line 3: credentials.lab.password: secrets do not go into this file: use password_file or password_env",
        "line 4: credentials.two.password_env: this environment variable is not set: set it for the exporter's process",
        "line 5: defaults.auth: write one of 'negotiate', 'kerberos', 'ntlm', 'certificate' or 'basic'",
        "line 5: defaults.intervals.pool: unknown key, did you mean pools?",
        "line 5: defaults.timeout: write a duration above zero with its unit, as Prometheus does: 500ms, 15s, 1m, 1h30m",
        "line 7: servers[0].port: key written twice (first in line 7): keep one",
        "line 7: servers[0].port: must be less than or equal to 65535",
        "line 8: servers[1].credential: no such entry under credentials (there: lab, two)",
        "line 9: servers[2].adress: unknown key, did you mean address?",
        "line 10: polling.enabled: write true or false",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "file: write a mapping with the keys credentials and servers"),
        ("[1, 2]", "file: write a mapping with the keys credentials and servers"),
        ("servers: [", "line 1: not YAML: expected the node content, but found '<stream end>'"),
        ("servers: []", "servers: name at least one server, as in: - {name: dhcp01.lab.local}"),
        ("servers: 5", "servers: write a list"),
        ("servers: [5]", "servers[0]: write a mapping, as in {name: dhcp01.lab.local}"),
        ("servers: [{name: d1}]", "servers[0].credential: missing: give it here or under defaults"),
        ("severs: []", "severs: unknown key, did you mean servers?"),
        ("credentials: {lab: 5}", "credentials.lab: write a mapping, as in {username: ..., password_file: ...}"),
        ("defaults: {name: x}", "defaults.name: a name belongs to one server: move it under servers"),
        (server_with("timeout: 0s"), "servers[0].timeout: write a duration above zero with its unit, as Prometheus does: 500ms, 15s, 1m, 1h30m"),
        (server_with("port: '5986'"), "servers[0].port: write a whole number"),
        (server_with("sections: {prots: false}"), "servers[0].sections.prots: write one of 'server', 'relationships', 'ports', 'scopes', 'statistics', 'counters', 'events', 'settings', 'firewall' or 'configuration'"),
        (server_with("auth: basic, scheme: http"), "servers[0].auth: basic needs scheme: https, or the secret would cross the network in clear"),
        (server_with("auth: certificate"), "servers[0].auth: certificate needs certificate_file and certificate_key_file in its credential"),
        (server_with("port: 1", "{certificate_file: password, certificate_key_file: password}"), "servers[0].auth: negotiate has no use for a certificate: set auth: certificate, or name another credential"),
        (server_with("auth: ntlm", "{keytab: password}"), "servers[0].auth: ntlm needs username and password_file or password_env in its credential"),
        (server_with("tls: {ca_file: /etc/nowhere.pem}"), "servers[0].tls.ca_file: no file /etc/nowhere.pem that can be read: correct the path or create the file"),
        (server_with("", "{password_file: password, keytab: password}"), "credentials.lab: password_file and keytab exclude each other: keep one"),
        (server_with("timeout: 4s"), "servers[0].timeout: at least 5s while sections.ports is on: the server waits 4 s for a silent partner"),
        (server_with("auth: ntlm", "{password_file: password}"), "servers[0].auth: ntlm needs username and password_file or password_env in its credential"),
        (server_with("", "{password_file: password}").replace("credential: lab", "credential: [lab]"), "servers[0].credential: write the name of an entry under credentials"),
        (server_with("", "{password_file: password}").replace("credential: lab", "credential: {name: lab}"), "servers[0].credential: write the name of an entry under credentials"),
        (server_with(f"timeout: {'9' * 400}y"), "servers[0].timeout: write a duration above zero with its unit, as Prometheus does: 500ms, 15s, 1m, 1h30m"),
        ("defaults: {1: 2}", "defaults[1]: Keys must be strings"),
        ("servers: 2026-13-45", "file: not YAML: a date or number that does not exist"),
        ("servers: &all [*all]", "file: not YAML: too deep, or an alias within itself"),
        ("servers: " + "[" * 10_000, "file: not YAML: too deep, or an alias within itself"),
        ("servers: @", "line 1: not YAML: found character '@' that cannot start any token"),
        (server_with("name: d1"), "servers[0].name: key written twice (first in line 3): keep one"),
    ],
)  # fmt: skip
def test_each_mistake_says_where_and_what_to_do(text: str, line: str, folder: Path) -> None:
    assert line in remedies(text, folder)


def test_two_servers_of_one_name_are_a_mistake_whatever_else_is_wrong(folder: Path) -> None:
    text = WHOLE.replace("dhcp02.lab.local, address", "DHCP01.lab.local, address")
    twins = "line 13: servers[1].name: the name of servers[0] again (letter case does not count): keep one"
    assert mistakes(text, folder) == [twins]
    assert twins in mistakes(text.replace("auth: ntlm", "auth: ntlmv2"), folder)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("servers:\n- name: d1\n  credential: lab\n  port: high\n", 4),
        ("servers:\n\n- name: d1\n", 3),
        ("servers:\n- {name: d1,\n   credential: nobody}\n", 3),
        ("servers:\n- name: d1\n  tls:\n    ca_fil: x\n", 4),
    ],
)
def test_a_mistake_stands_in_its_line(text: str, line: int, folder: Path) -> None:
    assert all(it.startswith(f"line {line}: servers[0]") for it in mistakes(text, folder)[-1:])


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("password_file: /etc/dhcp-failover-exporter/absent", "no file /etc/dhcp-failover-exporter/absent that can"),
        ("keytab: /etc/dhcp-failover-exporter/absent", "no file /etc/dhcp-failover-exporter/absent that can"),
        ("password_file: secrets/absent", "no file {folder}/secrets/absent that can"),
        ("certificate_file: absent.pem, certificate_key_file: password", "no file {folder}/absent.pem that can"),
        ("password_file: hunter2", "no such file in {folder} that can"),
        ("password_file: /hunter2", "no such file in / that can"),
        ("password_file: hun/ter2", "no such file in {folder} that can"),
    ],
)  # fmt: skip
def test_a_missing_file_is_told_by_its_path_unless_that_may_be_a_secret(
    fields: str, told: str, folder: Path
) -> None:
    (folder / "secrets").mkdir()
    (line,) = (it for it in mistakes(server_with("port: 1", f"{{{fields}}}"), folder) if "no " in it)
    assert f"{told.format(folder=folder)} be read: correct the path or create the file" in line
    assert "ter2" not in line


def test_a_file_that_this_account_may_not_read_is_told_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.R_OK)  # root may read everything
    assert len(mistakes(server_with("port: 1"), folder)) == 1


def test_a_wrong_default_is_reported_once_however_many_servers_take_it(folder: Path) -> None:
    assert len(mistakes(WHOLE.replace("auth: negotiate", "auth: kerberus"), folder)) == 1
    (unknown,) = mistakes(WHOLE.replace("credential: lab", "credential: labb"), folder)
    assert unknown == "line 5: defaults.credential: no such entry under credentials (there: lab)"
    (short,) = mistakes(
        WHOLE.replace("timeout: 10s", "timeout: 4s").replace(", sections: {ports: false}", ""), folder
    )
    assert short.startswith("line 8: defaults.timeout: at least 5s")


def test_no_message_shows_a_secret_wherever_it_was_put(folder: Path) -> None:
    quoted_by_yaml = ("password: *", "password: !!")
    for place in (
        "password: ",
        "password_env: ",
        "username: [1], password_file: ",
        "keytab: ",
        *quoted_by_yaml,
    ):
        text = f"credentials: {{lab: {{{place}{SECRET}}}}}\nservers: [{{name: d1, credential: lab}}]\n"
        assert SECRET not in "\n".join(mistakes(text, folder)), place


def test_the_masked_configuration_is_yaml_and_names_only_the_source_of_a_secret(folder: Path) -> None:
    text = config.masked(config.parse(WHOLE, folder))
    assert SECRET not in text
    assert yaml.safe_load(text)["credentials"]["lab"]["password_file"] == str(folder / "password")


def test_the_file_is_named_once_above_its_mistakes(folder: Path) -> None:
    file = folder / "wrong.yml"
    file.write_text(TEN_MISTAKES % SECRET)
    with pytest.raises(ConfigurationError) as raised:
        config.load(file)
    head, *lines = str(raised.value).splitlines()
    assert head == f"{file} cannot be used:"
    assert lines == [f"  {mistake}" for mistake in raised.value.mistakes]
    assert str(file) not in "".join(lines)


def test_a_file_that_cannot_be_read_is_named_with_the_flag_that_names_another(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        config.load(tmp_path / "absent.yml")
    assert str(raised.value) == (
        f"{tmp_path}/absent.yml cannot be used:\n"
        "  file: cannot be read: No such file or directory; name another with --config.file=FILE"
    )


def test_the_masked_configuration_is_a_file_that_gives_the_same_settings(folder: Path) -> None:
    for text in (WHOLE, WHOLE.replace("10s", "1d2h3m4s5ms").replace("enabled: false", "enabled: true")):
        settings = config.parse(text, folder)
        elsewhere = folder / "elsewhere"
        assert config.parse(config.masked(settings), elsewhere) == settings
    assert "timeout: 1d2h3m4s5ms" in config.masked(settings)


def test_the_masked_paths_do_not_depend_on_where_the_exporter_was_started(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "c.yml").write_text(WHOLE)
    monkeypatch.chdir(folder)
    assert f"password_file: {folder}/password" in config.masked(config.load(Path("c.yml")))


def test_a_secret_is_read_anew_each_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credential = config.Credential(name="lab", password_file=folder / "password")
    assert credential.secret() == SECRET
    (folder / "password").write_text("new\r\n")
    assert credential.secret() == "new"
    (folder / "password").unlink()
    with pytest.raises(AuthError, match=r"credential lab: .*password cannot be read"):
        credential.secret()
    monkeypatch.setenv("LAB_PASSWORD", SECRET)
    from_environment = config.Credential(name="lab", password_env="LAB_PASSWORD")
    assert from_environment.secret() == SECRET
    monkeypatch.delenv("LAB_PASSWORD")
    with pytest.raises(AuthError, match="LAB_PASSWORD is gone"):
        from_environment.secret()


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("15s", 15), ("1h30m", 5400), ("1d", 86400)])
def test_durations_are_prometheus_own(text: str, seconds: float, folder: Path) -> None:
    short = server_with(f"timeout: {text}, sections: {{ports: false}}")
    assert config.parse(short, folder).servers[0].timeout_seconds == seconds


@pytest.mark.parametrize("text", ["15", "s", "1s1m", "-1s", "1.5s", "''", "15 s"])
def test_other_spellings_of_durations_are_refused(text: str, folder: Path) -> None:
    assert len(mistakes(server_with(f"timeout: {text}"), folder)) == 1
