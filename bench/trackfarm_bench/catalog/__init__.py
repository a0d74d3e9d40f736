"""A mixed catalog on a complete farm: batches compared with one track at a time."""
