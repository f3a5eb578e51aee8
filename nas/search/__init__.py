"""The search: the only place that knows Optuna. Studies, proposals, promotion, the loop."""
