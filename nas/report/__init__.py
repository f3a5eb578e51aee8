"""What a study found, for readers: the front as a page, its records as flat rows."""
