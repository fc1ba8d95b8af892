"""The way to Redis or Valkey: one funnel, one translator, and an embedded server for those who have none."""
