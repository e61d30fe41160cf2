"""The networked client of the security module: pure session, self-healing link, pool with failover."""
