"""How far back recurrent networks look, by gradient and by context; and a gradient that explodes."""
