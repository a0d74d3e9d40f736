"""A mixed catalog through a whole farm: batches against one track at a time."""
