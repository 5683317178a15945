#!/bin/sh
# granian for an app of your own: deploy/granian.sh shop:app, or with --factory before it where that makes the app.
# The upload page alone is `python -m dropzone_app`, which does the same.
# A thread is held by each upload that is on its way: fewer slow ones than threads keep nobody waiting. A worker that is
# stopped has ten seconds to end its requests.
ulimit -n "$(ulimit -Hn)"
exec granian --interface wsgi --host 127.0.0.1 --port "${PORT:-5000}" --workers "${WEB_CONCURRENCY:-2}" \
    --blocking-threads 64 --http1-buffer-size 131072 --respawn-failed-workers --workers-kill-timeout 10 --no-ws \
    --log-level warning "$@"
