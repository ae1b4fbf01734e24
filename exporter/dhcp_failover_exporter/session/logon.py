"""How a server's settings become a logon: requests' session, its authentication and its trust.

The only place that asks for a secret; it is read anew for every logon and kept by nothing of ours. Builds
the HTTP session itself instead of letting pypsrp do it, because pypsrp's reads proxies, authorities and
.netrc from the environment, and requests follows redirects: credentials would go to hosts that nobody
configured.
"""

import importlib.util
import logging
import ssl

import requests
from pypsrp.negotiate import HTTPNegotiateAuth
from requests.adapters import BaseAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from spnego import Credential, KerberosKeytab

from dhcp_failover_exporter.config import ServerSettings

# Asked for by name in pypsrp 0.9; every Windows computer account answers to it.
DEFAULT_SPN_SERVICE = "host"


def http_session(settings: ServerSettings, adapter: BaseAdapter) -> requests.Session:
    """A session that talks to this server only, with its credential, and heeds no environment variable.

    Raises:
        AuthError: the secret cannot be read.
    """
    session = requests.Session()
    session.trust_env = False
    session.max_redirects = 0
    session.headers.update({"User-Agent": "dhcp-failover-exporter", "Accept-Encoding": "identity"})
    session.verify = _authorities(settings)
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    if settings.auth == "certificate":
        _present_certificate(session, settings)
    else:
        session.auth = _authentication(settings)
    return session


def kerberos_available() -> bool:
    """Whether gssapi is installed; without it, negotiate can only offer NTLM and does not say so."""
    return importlib.util.find_spec("gssapi") is not None and importlib.util.find_spec("krb5") is not None


def quiet_libraries() -> None:
    """Keep the libraries' own logs out of ours.

    At DEBUG pypsrp writes whole messages in plain text; at ERROR it writes a traceback for each failed
    attempt, of which the exporter's own line already tells.
    """
    for name, level in (
        ("pypsrp", logging.CRITICAL),
        ("spnego", logging.WARNING),
        ("urllib3", logging.ERROR),
    ):
        logging.getLogger(name).setLevel(level)


def _authorities(settings: ServerSettings) -> str | bool:
    if settings.tls.ca_file:
        return str(settings.tls.ca_file)
    system = ssl.get_default_verify_paths()
    return system.cafile or system.capath or True


def _authentication(settings: ServerSettings) -> AuthBase:
    credential = settings.credential
    if settings.auth == "basic":
        # Bytes, because requests would encode text as Latin-1.
        return HTTPBasicAuth((credential.username or "").encode(), (credential.secret() or "").encode())
    return HTTPNegotiateAuth(
        username=_identity(settings),  # type: ignore[arg-type]  # handed on to pyspnego as it is
        password=credential.secret(),
        auth_provider=settings.auth,
        service=settings.spn_service or DEFAULT_SPN_SERVICE,
        hostname_override=settings.spn_host or settings.name,
        wrap_required=settings.scheme == "http",
    )


def _identity(settings: ServerSettings) -> str | Credential | None:
    """A keytab goes to pyspnego as such, so that two servers may use two keytabs in one process."""
    credential = settings.credential
    if credential.keytab:
        return KerberosKeytab(keytab=f"FILE:{credential.keytab}", principal=credential.username)
    return credential.username


def _present_certificate(session: requests.Session, settings: ServerSettings) -> None:
    credential = settings.credential
    session.cert = (str(credential.certificate_file), str(credential.certificate_key_file))
    session.headers["Authorization"] = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"
