"""Every experiment of Hochreiter & Schmidhuber (1997): by the published recipe, and by one of today."""
