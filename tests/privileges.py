"""What the store's user may do: no more than we use. The README's line is checked against this, and the whole suite
runs as such a user."""

COMMANDS = (
    "ping", "info", "time",
    "get", "set", "getdel", "del", "exists", "expire", "pttl",
    "lpush", "ltrim", "lrange",
    "hget", "hset", "hsetnx", "hdel", "hexists", "hgetall", "hlen",
    "zadd", "zrem", "zcard", "zscore", "zrange", "zrangebyscore", "zremrangebyscore", "zremrangebyrank",
    "eval", "scan", "publish", "subscribe",
)  # fmt: skip
"""Of our own, as the store spells them."""

ONLY_SOME = ("select", "wait", "command", "cluster|slots")
"""With another database than 0, with Sentinel, in a Cluster; the first and the last two by redis-py."""


def set_user(name: str, password: str, prefix: str = "") -> str:
    """The command that makes such a user, for the keys and channels that begin with a prefix."""
    allowed = " ".join(f"+{command}" for command in (*COMMANDS, *ONLY_SOME))
    return f"ACL SETUSER {name} on >{password} resetkeys ~{prefix}* resetchannels &{prefix}* -@all {allowed}"
