"""Training: one loop for proxies and final runs, and the plan of how it runs on this machine."""
