"""Every certificate, token and kubeconfig of a cluster, written before its first part starts."""

from __future__ import annotations

from tests.rig import users
from tests.rig.certificates import Authority, write_signing_key
from tests.rig.parts import Site

__all__ = ["write"]


def write(site: Site) -> Authority:
    """Write all of them; return the authority that signed the webhooks' certificate, for Kueue needs its key."""
    servers = Authority("rig authority")
    servers.write(site.authority)
    servers.pair(site.pair.folder, "rig")
    webhooks = Authority("rig webhook authority", names=("kueue-ca",), rsa_key=True)
    webhooks.pair(site.webhook_pair.folder, "webhooks", "kueue-webhook-service.kueue-system.svc")
    write_signing_key(site.signing_key)
    for user, token in users.write_tokens(site.tokens).items():
        users.kubeconfig(site.kubeconfig(user), site.server, site.authority, user, token)
    return webhooks
