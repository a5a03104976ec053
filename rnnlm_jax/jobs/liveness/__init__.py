"""Connections between the processes of a job, which detect lost processes and agree on where all of them stop.

Process 0 has a ``Hub`` on the port of the job; every process is connected to it as a ``Member``. jax's own coordination
service is reached through the same port.
"""

from rnnlm_jax.jobs.liveness.hub import Hub
from rnnlm_jax.jobs.liveness.member import Listener, Member, Timeouts, join_processes
from rnnlm_jax.jobs.liveness.tunnel import Relay, free_local_port

__all__ = ["Hub", "Listener", "Member", "Relay", "Timeouts", "free_local_port", "join_processes"]
