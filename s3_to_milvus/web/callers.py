"""Who may count as local: whoever asks from this machine for itself, and not for others as a reverse proxy does."""

import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

__all__ = ["address_of", "host_name", "is_loopback_name", "why_not_local"]

_BRACKETED = re.compile(r"\[([^\]]*)\](?::\d*)?")
# What proxies, load balancers, tunnels and CDNs add to the requests that they pass on, by their documentation.
_FORWARDING = re.compile(
    rb"forwarded|via|cdn-loop|front-end-https|x-real-ip|x-(?:host|scheme|url-scheme|varnish|nginx-proxy)"
    rb"|(?:x-)?(?:true-|proxy-|wl-proxy-|fastly-|fly-|do-|cluster-)?(?:client|connecting)-ip"
    rb"|x-(?:cluster-client|originating|remote|proxyuser|appengine-user)-(?:ip|addr)|x-amzn-trace-id|x-amz-cf-id"
    rb"|(?:x-forwarded|x-original|x-proxy|x-envoy|x-azure|x-arr|x-vercel|cf|tailscale)(?:-.*)?"
)
_AddressT = ipaddress.IPv4Address | ipaddress.IPv6Address


@lru_cache(1_024)
def address_of(name: str) -> _AddressT | None:
    """The address that a text is; None for a name."""
    try:
        found = ipaddress.ip_address(name)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found


@lru_cache(1_024)
def _is_forwarding(header: bytes) -> bool:
    return _FORWARDING.fullmatch(header) is not None


@lru_cache(1_024)
def host_name(host: str) -> str:
    """A Host header without its port, as names are compared."""
    bracketed = _BRACKETED.fullmatch(host)
    if bracketed is not None:
        return bracketed[1].lower()
    name = host.rpartition(":")[0] if host.count(":") == 1 else host
    return name.lower().rstrip(".")


@lru_cache(1_024)
def is_loopback_name(name: str) -> bool:
    """Whether a name can mean nothing but this machine."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = address_of(name)
    return address is not None and address.is_loopback


def why_not_local(scope: Mapping[str, Any], headers: Mapping[bytes, str]) -> str:
    """Why a request may come from elsewhere; empty where nothing says so.

    A reverse proxy on this machine comes in by loopback, too: it shows by what it adds (Apache, Caddy, Traefik,
    clouds), by the name it passes on, or by HTTP/1.0 (nginx as it is set by default, which adds nothing).
    """
    server, client = scope.get("server"), scope.get("client")
    if not server or not is_loopback_name(server[0]):
        address = address_of(server[0]) if server else None
        return "a Unix socket" if address is None else f"the address {address}"
    for name in headers:
        if _is_forwarding(name):
            return f"the header {name.decode('ascii', 'replace')}"
    if client and (address := address_of(client[0])) is not None and not address.is_loopback:
        return f"a caller at {address}"
    if not is_loopback_name(host_name(headers.get(b"host", "localhost"))):
        return "the header host, which names no local address"
    return "HTTP/1.0, as proxies speak it" if scope.get("http_version") == "1.0" else ""
