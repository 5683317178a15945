"""gunicorn for the upload page: ``gunicorn --config gunicorn.conf.py``, or with an app of your own at its end."""

import os
import resource

wsgi_app = "dropzone_app:create_app()"
bind = "127.0.0.1:5000"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))

# The only kind for uploads: an upload that is on its way holds a thread, and with "sync" a whole process, which is
# killed after `timeout`. With threads the timeout is for a process that hangs, however long an upload takes.
worker_class = "gthread"
threads = 16
timeout = 60
# Seconds in which uploads that are on their way may end when the server is told to stop.
graceful_timeout = 30

# Workers tell that they live by a file. On a disk that is busy with uploads that would wait, and they be killed.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None


def post_fork(server: object, worker: object) -> None:
    """Every part of a batch in flight is an open file; the usual soft limit of 1,024 is for another age."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536) if hard > 0 else 65_536, hard))
