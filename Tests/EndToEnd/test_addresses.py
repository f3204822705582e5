"""Every kind of address, on both sides."""

import pytest

from addresses import free_port, text_of
from streams import Receiver, Sender, exchange, finish

FAMILIES = ["ipv4", "ipv6", "unix"]


def an_address(family, folder, name):
    if family == "unix":
        return str(folder / name)
    host = {"ipv4": "127.0.0.1", "ipv6": "::1"}[family]
    return (host, free_port(host))


@pytest.mark.parametrize("behind", FAMILIES)
@pytest.mark.parametrize("front", FAMILIES)
def test_each_family_reaches_each_family(start_weir, new_backend, short_folder, front, behind):
    backend = new_backend(an_address(behind, short_folder, "backend"))
    bind = text_of(an_address(front, short_folder, "front"))
    weir = start_weir(backend, listener={"bind": bind})
    client, server = weir.pair(backend)
    exchange(client, server)
    threads = [Sender(client, 1, 4), Sender(server, 2, 4), Receiver(client), Receiver(server)]
    for thread in threads:
        thread.start()
    finish(*threads)
    assert threads[0].digest.digest() == threads[3].digest.digest()
    assert threads[1].digest.digest() == threads[2].digest.digest()
    name = client.getsockname()
    session = weir.wait_for_session()
    assert session["client"] == ("unix" if front == "unix" else text_of(name))
    assert session["backend"] == text_of(backend.getsockname())


def test_one_listener_on_several_addresses_with_several_workers(start_weir, backend, short_folder):
    binds = [
        text_of(an_address(family, short_folder, f"front{index}"))
        for index, family in enumerate(FAMILIES)
    ]
    weir = start_weir(backend, workers=2, listener={"bind": binds})
    for bind in binds * 5:
        client = weir.connect_to(bind)
        exchange(client, weir.keep(backend.accept()[0]))


def test_a_unix_socket_is_removed_at_the_end_and_a_stale_one_at_the_start(
    start_weir, backend, short_folder, new_backend
):
    path = short_folder / "front"
    new_backend(str(path)).close()
    assert path.exists()
    weir = start_weir(backend, listener={"bind": f"unix:{path}"})
    exchange(*weir.pair(backend))
    weir.stop()
    assert not path.exists()


def test_a_backend_may_be_a_host_name(start_weir, backend):
    port = backend.getsockname()[1]
    weir = start_weir(f"localhost:{port}")
    exchange(*weir.pair(backend))
    weir.stop()
    assert weir.sessions()[0]["backend"] == f"localhost:{port}"
