"""How far back do recurrent networks look, by gradient and by context? And what explodes without clipping."""
