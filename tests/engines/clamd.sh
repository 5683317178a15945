#!/usr/bin/env bash
# Run clamd in the foreground with one home-made signature, the EICAR test string. Its data is in DIR, as is its socket,
# DIR/clamd.sock. With a PORT it listens there on loopback too. It takes up to 1 MB, and scans up to 500 KB of a file.
# Usage: clamd.sh CLAMD DIR [PORT]
set -eu
clamd=$1 folder=$2 port=${3:-}
mkdir -p "$folder/db"
eicar='X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*'
printf 'Test.Eicar.Body:0:*:%s\n' "$(printf %s "$eicar" | od -An -tx1 | tr -d ' \n')" > "$folder/db/test.ndb"
cat > "$folder/clamd.conf" << X
DatabaseDirectory $folder/db
LocalSocket $folder/clamd.sock
FixStaleSocket yes
PidFile $folder/clamd.pid
LogFile $folder/clamd.log
TemporaryDirectory $folder
Foreground yes
SelfCheck 0
StreamMaxLength 1M
MaxFileSize 500K
AlertExceedsMax yes
X
[ -z "$port" ] || printf 'TCPSocket %s\nTCPAddr 127.0.0.1\n' "$port" >> "$folder/clamd.conf"
exec "$clamd" -c "$folder/clamd.conf"
