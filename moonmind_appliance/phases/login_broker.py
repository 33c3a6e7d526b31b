"""The login broker of a run (LOGIN_BROKER): a part of the egress proxy, in the container that has the shard's login.

The agent gets a login that only this broker accepts, and only during the run (decision 53). What the broker prints is
the evidence on the login, its limits and its quota; what the agent's container reports about these is not.
"""

from moonmind_appliance.models import Failure, FailureCode, TurnOutcome, failure
from moonmind_appliance.models.container_paths import AGENT_CA_FILE, BROKERED_LOGIN_FILE
from moonmind_appliance.phases.agent_login import record_login
from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.printable import escape
from moonmind_appliance.trust import extra_authorities

_LONGEST_PROBLEM = 500


class RunBroker:
    """The broker of one attempt of a run. Not thread-safe, except its `reader`."""

    def __init__(self, ctx: PhaseContext) -> None:
        self._ctx = ctx
        self._given = False
        self.reader = ctx.agent.broker_reader()
        self.job = ctx.agent.broker_job()

    def failure(self, stderr: bytes) -> Failure:
        """Why the broker could not start: it ended, and `stderr` is the end of its standard error."""
        lines = stderr.decode(errors="replace").strip().splitlines()
        problem = self.reader.problem or (lines[-1] if lines else "it ended without a message")
        shown = escape(self._ctx.redactor.redact_text(problem))[:_LONGEST_PROBLEM]
        message = f"The login broker of shard {self._ctx.names.shard.index} could not start: {shown}"
        if "No module named" in problem:
            message += " The job image is older than the appliance: build it again with ./install.sh."
        return failure(FailureCode.LOGIN_BROKER_FAILED, message)

    def give_login(self) -> Failure | None:
        """Give the broker's login and its authority to the next turn, once; returns why that is not possible.

        The broker must be ready.
        """
        if self._given:
            return None
        login = self.reader.login
        if login is None:
            message = f"The login broker of shard {self._ctx.names.shard.index} made no login for the agent."
            return failure(FailureCode.LOGIN_BROKER_FAILED, message)
        extra = self._ctx.settings.extra_ca_certs
        authorities = login.authority if extra is None else extra_authorities(extra) + b"\n" + login.authority
        self._ctx.agent_files |= {BROKERED_LOGIN_FILE: login.login_file, AGENT_CA_FILE: authorities}
        self._given = True
        return None

    def outcome(self, reported: TurnOutcome, *, since: int) -> TurnOutcome:
        """How the turn went that began at that position of the reader; records what the broker did with the login."""
        if checks := self.reader.checks(since):
            # Renewals change the file.
            self._ctx.login = record_login(self._ctx)
            for check in checks:
                self._ctx.login_recorder.checked(check)
        return self.reader.outcome(reported, since)
