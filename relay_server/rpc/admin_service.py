"""AdminService: what operators and dashboards call."""

from relay_server.engine.roster import Roster
from relay_server.rpc.admin_jobs import AdminJobs
from relay_server.rpc.admin_queues import AdminQueues
from relay_server.rpc.desk import Desk
from relay_server.rpc.server_facts import ServerFacts
from relay_server.rpc.stats_feed import StatsFeed


class AdminService(AdminQueues, AdminJobs):
    """The calls about queues and those about jobs, which share nothing but the desk."""

    def __init__(self, desk: Desk, roster: Roster, feed: StatsFeed, facts: ServerFacts) -> None:
        AdminQueues.__init__(self, desk, roster, feed, facts)
        AdminJobs.__init__(self, desk)
