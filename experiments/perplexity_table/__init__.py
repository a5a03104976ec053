"""Eight systems of language modelling, built here and measured by one evaluator."""
