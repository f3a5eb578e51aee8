"""Winners trained in full: one network from one seed at a time, kept as a model, judged once on the test split."""
