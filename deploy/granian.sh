#!/bin/sh
# granian for an app of your own: deploy/granian.sh shop:app, or with --factory before it where that makes the app.
# The upload page alone is `python -m dropzone_app`, which does the same, and gives each worker a core of its own.
# A thread is held by each upload that is on its way: fewer slow ones than threads keep nobody waiting. A client that says
# nothing any more, its machine or line gone perhaps, holds one for some 40 s (UPLOADS_MIN_RATE). A worker that is stopped has
# ten seconds to end its requests.
ulimit -n "$(ulimit -Hn)"
# Connections of a worker: by themselves some hundreds, which idle ones alone would fill.
descriptors=$(ulimit -n)
[ "$descriptors" -le 65536 ] 2>/dev/null || descriptors=65536
# While it listens for HTTP/2 too, a connection on which nothing comes is never ended.
exec granian --interface wsgi --http 1 --host 127.0.0.1 --port "${PORT:-5000}" --workers "${WEB_CONCURRENCY:-2}" \
    --blocking-threads 64 --backpressure $((descriptors / 4)) --http1-buffer-size 65536 --respawn-failed-workers \
    --workers-kill-timeout 10 --no-ws --log-level warning "$@"
