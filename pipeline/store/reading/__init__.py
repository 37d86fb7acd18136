"""What the status API and the gauges ask: plain queries, on connections that can only read."""
