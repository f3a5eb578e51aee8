"""The browser of studies: a Dash application on this machine, and the same views as one file."""
