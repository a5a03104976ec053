"""How far back do recurrent networks look, by gradient and by context? Which gradients explode without clipping?"""
