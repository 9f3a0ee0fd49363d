"""Keys: made once, read strictly, and only those who have them get in."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bus_peers import numbered

from dblink_live.bus import (
    HAS_OWNER_ONLY_MODE,
    ClientKeys,
    Publisher,
    ServerKeys,
    StartMessage,
    Subscriber,
    new_key_pair,
    read_client_keys,
    read_server_keys,
    write_new_keys,
)
from dblink_live.bus.publisher import N_PORTS
from dblink_live.errors import WireError

PATIENCE_S = 60.0  # only ever waited out by a failing test
SECRETS = {"server.key_secret", "client.key_secret"}


def until(condition: Callable[[], Any]) -> Any:
    limit_s = time.perf_counter() + PATIENCE_S
    while not (found := condition()):
        assert time.perf_counter() < limit_s, "waited in vain"
        time.sleep(0.005)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_new_keys(tmp_path / "keys")
    return tmp_path / "keys"


def test_what_was_written_fits_together(folder: Path) -> None:
    server, client = read_server_keys(folder), read_client_keys(folder)
    assert client.server_public == server.public
    assert server.allowed_clients == {client.public}
    assert server.public != client.public
    for secret in (server.secret, client.secret):
        assert secret not in (folder / "server.key").read_bytes() + (folder / "clients" / "client.key").read_bytes()
        assert secret.decode() not in repr(server) + repr(client)


@pytest.mark.skipif(not HAS_OWNER_ONLY_MODE, reason="this system has no owner-only mode")
def test_secret_keys_are_their_owners_alone(folder: Path) -> None:
    for name in SECRETS:
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    (folder / "server.key_secret").chmod(0o640)
    with pytest.raises(WireError, match="chmod 600"):
        read_server_keys(folder)


@pytest.mark.parametrize("name", ["server.key_secret", "server.key", "client.key_secret", "clients/client.key"])
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / "clients").mkdir()
    (tmp_path / name).write_text("mine")
    with pytest.raises(WireError, match="never overwritten"):
        write_new_keys(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("server.key_secret", None, id="no secret key"),
        pytest.param("clients/client.key", None, id="nobody to let in"),
        pytest.param("clients/client.key", b"", id="empty"),
        pytest.param("clients/client.key", b'public-key = "short"', id="short"),
        pytest.param("clients/client.key", b"public-key = " + b"~" * 40, id="not Z85"),
        pytest.param("clients/client.key", b"public-key = " + b"#" * 40, id="not a number of 32 bits"),
        pytest.param("clients/client.key", b"\xff\xfe\x00", id="not text"),
        pytest.param("server.key_secret", b"public-key = " + new_key_pair()[0], id="public key only"),
    ],
)
def test_damaged_keys_are_named(folder: Path, name: str, content: bytes | None) -> None:
    path = folder / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)  # the mode stays
    with pytest.raises(WireError, match="expected") as refused:
        read_server_keys(folder)
    assert str(folder) in str(refused.value)


def test_halves_of_two_pairs_are_refused(folder: Path) -> None:
    path = folder / "client.key_secret"
    path.write_bytes(path.read_bytes().replace(read_client_keys(folder).public, new_key_pair()[0]))
    with pytest.raises(WireError, match="belongs to it"):
        read_client_keys(folder)


def test_with_keys_a_run_can_be_seen_from_everywhere(folder: Path) -> None:
    with Publisher("tcp://0.0.0.0:*", keys=read_server_keys(folder)) as publisher:
        assert publisher.address.startswith("tcp://127.0.0.1:")
        with Subscriber(publisher.address, keys=read_client_keys(folder)) as subscriber:
            assert subscriber.wait_until_live(PATIENCE_S)
            publisher.send_image(numbered(5, side=16))
            assert until(lambda: subscriber.latest("live")).number == 5
            assert subscriber.refusal == ""
        assert publisher.refusals.count == 0


def test_beyond_loopback_the_ports_are_known_beforehand(folder: Path) -> None:
    keys = read_server_keys(folder)
    for port in range(23_450, 60_000, 101):  # whatever else listens here
        try:
            publisher = Publisher(f"tcp://0.0.0.0:{port}", keys=keys)
        except WireError as error:
            assert "choose another port" in str(error)
            continue
        break
    with publisher, pytest.raises(WireError, match="choose another port"):
        Publisher(f"tcp://0.0.0.0:{port + N_PORTS - 1}", keys=keys)
    with pytest.raises(WireError, match=f"at most {65535 - N_PORTS + 1}"):
        Publisher("tcp://0.0.0.0:65535", keys=keys)


def test_another_machine_is_not_looked_at_without_keys() -> None:
    with pytest.raises(WireError, match="--keys"):
        Subscriber("tcp://192.0.2.1:5556")


@pytest.mark.parametrize(
    ("client_has", "server_has", "client_reads", "server_reads"),
    [
        pytest.param("unknown key", "keys", "does not know this viewer", "not among the known", id="unknown viewer"),
        pytest.param("wrong server", "keys", "not the public key of the run", "not the public key", id="other run"),
        pytest.param("nothing", "keys", "demands keys", "without keys", id="no keys"),
        pytest.param("keys", "nothing", "started without --keys", "", id="a run without keys"),
    ],
)
def test_both_sides_read_why_a_viewer_is_turned_away(
    client_has: str, server_has: str, client_reads: str, server_reads: str
) -> None:
    server, friend, stranger = new_key_pair(), new_key_pair(), new_key_pair()
    client_keys = {
        "keys": ClientKeys(*friend, server_public=server[0]),
        "unknown key": ClientKeys(*stranger, server_public=server[0]),
        "wrong server": ClientKeys(*friend, server_public=stranger[0]),
        "nothing": None,
    }[client_has]
    server_keys = ServerKeys(*server, frozenset([friend[0]])) if server_has == "keys" else None
    with Publisher(keys=server_keys) as publisher, Subscriber(publisher.address, keys=client_keys) as subscriber:
        publisher.start(StartMessage(run_uuid="secret"))
        until(lambda: subscriber.poll() or subscriber.refusal)
        assert client_reads in subscriber.refusal
        if server_reads:
            until(lambda: subscriber.poll() or publisher.refusals.count)
            assert server_reads in publisher.refusals.last
        assert subscriber.start is None


def test_a_refusal_is_forgotten_when_the_run_lets_the_viewer_in() -> None:
    server, friend = new_key_pair(), new_key_pair()
    client_keys = ClientKeys(*friend, server_public=server[0])
    with Publisher(keys=ServerKeys(*server, frozenset([new_key_pair()[0]]))) as publisher:
        address = publisher.address
        subscriber = Subscriber(address, keys=client_keys)
        until(lambda: subscriber.poll() or subscriber.refusal)
    with subscriber, Publisher(address, keys=ServerKeys(*server, frozenset([friend[0]]))):
        assert subscriber.wait_until_live(PATIENCE_S)
        assert subscriber.refusal == ""
