"""Mean-field theory beside random networks of finite width."""
