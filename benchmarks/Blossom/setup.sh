# Sourced by ./bench: nginx is the peer for writes (its dav module) and reads. RUNLEVEL keeps the package from starting a service.
RUNLEVEL=1 need_packages "nginx=command -v nginx || test -x /usr/sbin/nginx"
