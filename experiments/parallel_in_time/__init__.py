"""When running over time in parallel pays: Newton iterations beside Lyapunov exponents, work, memory and time."""
