"""Webhooks: notify other programs when tracks and jobs end; the leader sends the messages of
`db.webhook_outbox`."""
