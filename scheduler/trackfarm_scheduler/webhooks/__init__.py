"""Tells other programs when tracks and jobs end: what `store.outbox` keeps is sent by the leader."""
