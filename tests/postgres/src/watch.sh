# Runs one PostgreSQL server for as long as somebody holds a shared lock on $state/users, then stops it and removes
# its folder. A process of its own, so that the server also goes when the test that started it is killed.
#
# state=folder of the locks   home=folder of the server   grace=polls without a user before it stops
# private=not empty if the locks' folder goes too
# The server's command line is in "$@".
set -u
exec 8>>"$state/alive" 9>>"$state/lock" || exit 1
# Held while the server lives: whoever gets this lock knows that there is no server.
# Not at once, since those who look whether it is free hold it for an instant.
flock -w 10 -x 8 || exit 1

start() {
    "$@" </dev/null >>"$home/log" 2>&1 8>&- 9>&- &
    server=$!
}
start "$@"
trap 'kill -QUIT "$server" 2>/dev/null' TERM INT HUP

idle=0
while :; do
    if ! kill -0 "$server" 2>/dev/null; then
        # Killed by its owner, who wants it up again; not at once, if a backend of the old one is still on its way out.
        [ -e "$state/again" ] || break
        start "$@"
    fi
    # Removed under us, by `cargo clean` say: nobody can ask for this server any more.
    if [ ! -d "$state" ]; then
        kill -QUIT "$server" 2>/dev/null
        wait "$server"
        break
    fi
    if flock -n -x "$state/users" true 8>&- 9>&-; then
        idle=$((idle + 1))
        if [ "$idle" -gt "$grace" ] || [ -e "$state/stop" ]; then
            # Nobody can join while this lock is held; who joined just before keeps the server.
            flock -x 9
            if flock -n -x "$state/users" true 8>&- 9>&-; then
                kill -QUIT "$server" 2>/dev/null
                wait "$server"
                break
            fi
            flock -u 9
            idle=0
        fi
    else
        idle=0
    fi
    sleep 0.2 8>&- 9>&-
done
if [ ! -e "$home/ready" ]; then
    # What its starter shows, and then clears away.
    cp "$home/log" "$state/failed" 2>/dev/null
elif [ -n "$private" ]; then
    rm -rf "$state"
fi
rm -rf "$home"
