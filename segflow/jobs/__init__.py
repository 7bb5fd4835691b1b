"""The engine of sharded jobs: plan, shards, records, commit."""
