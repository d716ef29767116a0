"""Starway's view of a connection."""

from __future__ import annotations

from .. import _native


class ServerEndpoint:
    """A client, as its server sees it. Those of one connection are equal."""

    __slots__ = ("_endpoint",)

    def __init__(self, endpoint: _native.Endpoint) -> None:
        self._endpoint = endpoint

    @property
    def name(self) -> str:
        """The connection's name."""
        return self._endpoint.name

    @property
    def local_addr(self) -> str:
        """This side's address; empty when the connection has none."""
        return self._endpoint.local_host

    @property
    def local_port(self) -> int:
        """This side's port."""
        return self._endpoint.local_port

    @property
    def remote_addr(self) -> str:
        """The client's address; empty when the connection has none."""
        return self._endpoint.remote_host

    @property
    def remote_port(self) -> int:
        """The client's port."""
        return self._endpoint.remote_port

    def view_transports(self) -> list[tuple[str, str]]:
        """(device, transport) of what the connection uses."""
        return [(device, transport) for transport, device in self._endpoint.transports()]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ServerEndpoint) and self._endpoint == other._endpoint

    def __hash__(self) -> int:
        return hash(self._endpoint)

    def __repr__(self) -> str:
        return f"<ServerEndpoint {self._endpoint.id}>"
