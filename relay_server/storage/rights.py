"""The rights that Relay's user needs in Redis; tests compare the list with the commands that are really used."""

# A script may call only commands that its user may call, so commands of scripts are listed too.
COMMANDS = (
    # connecting and checking
    *("ping", "info", "config|get", "client|setname"),
    # scripts, and what the probe of health is
    *("evalsha", "script|load", "eval"),
    # channels
    *("spublish", "ssubscribe", "sunsubscribe"),
    # in scripts
    *("del", "exists", "mget", "pexpire", "set", "time", "type"),
    *("hdel", "hexists", "hget", "hgetall", "hincrby", "hkeys", "hlen", "hmget", "hrandfield", "hscan"),
    *("hset", "hsetnx", "hstrlen"),
    *(
        "zadd",
        "zcard",
        "zcount",
        "zmscore",
        "zrange",
        "zrangebyscore",
        "zrem",
        "zrevrange",
        "zscan",
        "zscore",
    ),
)
OF_CLUSTERS = ("asking", "cluster|slots")
OF_WAIT_REPLICAS = ("wait",)
OF_DATABASES = ("select",)  # other than 0
# For the user that the Sentinels know, if they have users.
OF_SENTINELS = ("sentinel|master", "client|setname")


def acl_rules(*, cluster: bool = False, wait_replicas: bool = False, database: bool = False) -> str:
    """What follows `ACL SETUSER name on >password`: the keys and channels of Relay, and its commands."""
    commands = (
        *COMMANDS,
        *(OF_CLUSTERS if cluster else ()),
        *(OF_WAIT_REPLICAS if wait_replicas else ()),
        *(OF_DATABASES if database else ()),
    )
    return "resetchannels ~relay:* &relay:* -@all " + " ".join(f"+{command}" for command in commands)
