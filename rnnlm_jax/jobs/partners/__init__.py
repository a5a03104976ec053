"""The processes of one job: a connection to each, who is still there, and where all of them stop together."""

from rnnlm_jax.jobs.partners.hub import Hub
from rnnlm_jax.jobs.partners.member import Limits, Listener, Member, join_partners
from rnnlm_jax.jobs.partners.tunnel import Relay, free_local_port

__all__ = ["Hub", "Limits", "Listener", "Member", "Relay", "free_local_port", "join_partners"]
