# Sourced by ./bench: the servers that replicas share.
need_packages "postgresql=ls /usr/lib/postgresql/*/bin/postgres" "redis-server=command -v redis-server"
